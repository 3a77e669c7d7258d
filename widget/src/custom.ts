/* The accent of a workspace that chose its own. */
export { default as css } from './custom.css';
