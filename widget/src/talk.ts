/*
 * What is needed once there is a conversation: its log without gaps, resume, history, read marks, and their view.
 * Not loaded for the first message, which only waits in the outbox.
 */
export { Conversation } from '../../gateway/client/src/conversation.ts';
export { Log } from './log.tsx';
export { default as css } from './talk.css';
