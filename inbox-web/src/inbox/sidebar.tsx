// Views with their counts, who of the team is there, and myself.

import type { View } from '../../../gateway/client/src/protocol.ts';
import { useLive, useSignal } from '../live/use.ts';
import { Go, Mark } from '../pages/frame.tsx';
import { count, t } from '../words.ts';
import type { CommandId } from './commands.ts';
import { Avatar } from './details.tsx';
import { Kbd, useSingles } from './kbd.tsx';
import { VIEWS } from './place.ts';

type SidebarProps = {
  view: View;
  workspace: string;
  run: (command: CommandId) => void;
  /** Shown over the list, on narrow pages. */
  drawn: boolean;
  close: () => void;
};

export function Sidebar({ view, workspace, run, drawn, close }: SidebarProps) {
  const live = useLive();
  useSignal(live.changed);
  const online = live.members.filter((member) => member.online);
  const unread = live.unread();
  const keys = useSingles();
  return (
    <nav className="sidebar" data-drawn={drawn || undefined} aria-label={t('views')} id="sidebar">
      <p className="brand">
        <Mark />
        <bdi>{workspace}</bdi>
      </p>
      <ul>
        {VIEWS.map((one) => {
          const n = one === 'resolved' ? undefined : live.counts?.[one];
          return (
            <li key={one}>
              <ViewLink view={one} chosen={one === view} close={close}>
                <span>{t(`view.${one}`)}</span>
                {one === 'mine' && unread > 0 && <span className="dot" role="img" aria-label={t('list.unread')} />}
                <span className="count">{n === undefined ? '' : count(n)}</span>
              </ViewLink>
            </li>
          );
        })}
      </ul>
      <h2>{t('team.online')}</h2>
      <ul className="team">
        {online.map((member) => (
          <li key={member.id}>
            <span className={`presence-dot ${member.available ? 'on' : 'away'}`} aria-hidden="true" />
            <bdi>{member.id === live.me.id ? t('team.you', { name: member.name }) : member.name}</bdi>
            {!member.available && <span className="team-away">{t('team.away')}</span>}
            <span className="count" title={t('team.open', { n: member.open })}>
              {count(member.open)}
            </span>
          </li>
        ))}
      </ul>
      <div className="sidebar-rest">
        <button type="button" onClick={() => run('palette')} aria-keyshortcuts="Control+k Meta+k">
          <span>{t('cmd.palette')}</span>
          <Kbd of="palette" />
        </button>
        <button type="button" onClick={() => run('help')} aria-keyshortcuts={keys ? '?' : undefined}>
          <span>{t('cmd.help')}</span>
          <Kbd of="help" />
        </button>
        <Go to="/inbox/settings">
          <span>{t('cmd.settings')}</span>
        </Go>
        <button type="button" onClick={() => run('logout')}>
          <span>{t('cmd.logout')}</span>
        </button>
      </div>
      <div className="myself">
        <Avatar id={live.me.id} name={live.me.name} />
        <bdi className="my-name">{live.me.name}</bdi>
        <button
          type="button"
          role="switch"
          aria-checked={live.available}
          className="status"
          title={t(live.available ? 'status.available.more' : 'status.away.more')}
          onClick={() => live.setAvailable(!live.available)}
        >
          <span className={`presence-dot ${live.available ? 'on' : 'away'}`} aria-hidden="true" />
          {t(live.available ? 'status.available' : 'status.away')}
        </button>
      </div>
    </nav>
  );
}

function ViewLink(props: { view: View; chosen: boolean; close: () => void; children: React.ReactNode }) {
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the link inside is what is pressed; this only closes the drawer after it.
    // biome-ignore lint/a11y/noStaticElementInteractions: as above.
    <div className="view-link" data-chosen={props.chosen || undefined} onClick={props.close}>
      <Go to={`/inbox/${props.view}`}>{props.children}</Go>
    </div>
  );
}
