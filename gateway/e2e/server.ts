// A `bellhop serve` of the test's own: real process, real disk, free ports, temporary data.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const BINARY = process.env.BELLHOP_BIN ?? fileURLToPath(new URL('../../target/debug/bellhop', import.meta.url));

/** How long a start or a stop may take, in milliseconds, on a busy machine. */
const PATIENCE = 20_000;

/** Lines of the server's output that are kept for a failed test: the first ones, where a fault begins. */
const KEPT_LINES = 10_000;

export class Bellhop {
  /** What the server printed, both streams. */
  readonly output: string[] = [];
  #process: ChildProcess | undefined;
  readonly #ports: { main: number; admin: number; other: number };
  readonly #environment: Record<string, string>;
  readonly data: string;

  private constructor(data: string, ports: [number, number, number], environment: Record<string, string>) {
    this.data = data;
    this.#ports = { main: ports[0], admin: ports[1], other: ports[2] };
    this.#environment = environment;
  }

  /** Starts a server on new data; `environment` sets further keys of the configuration (`BELLHOP_<SECTION>__<KEY>`). */
  static async start(environment: Record<string, string> = {}): Promise<Bellhop> {
    const data = await mkdtemp(join(tmpdir(), 'bellhop-e2e-'));
    const bellhop = new Bellhop(data, await freePorts(), environment);
    await bellhop.#spawn();
    return bellhop;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#ports.main}`;
  }

  get adminUrl(): string {
    return `http://127.0.0.1:${this.#ports.admin}`;
  }

  /** The demo page on another origin, under a strict Content-Security-Policy. */
  get otherOriginUrl(): string {
    return `http://127.0.0.1:${this.#ports.other}`;
  }

  /** The one-time link that a server without an owner prints; the newest one. */
  get setupLink(): string {
    const links = this.output.flatMap((line) => line.match(/https?:\/\/\S+\/setup#[\w.~-]+/) ?? []);
    const link = links.at(-1);
    if (link === undefined) throw new Error(`the server printed no set-up link:\n${this.output.join('\n')}`);
    return link;
  }

  /** The process's id. */
  get pid(): number {
    const pid = this.#process?.pid;
    if (pid === undefined) throw new Error('the server does not run');
    return pid;
  }

  /** A power cut: no chance to say goodbye. Returns when the process is gone. */
  async kill9(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** As an orchestrator stops it: SIGTERM, then waits for the drain. Returns the exit code. */
  async stop(): Promise<number | null> {
    return this.#end('SIGTERM');
  }

  /** Starts again on the same data and the same ports. */
  async restart(): Promise<void> {
    if (this.#process !== undefined) await this.stop();
    await this.#spawn();
  }

  /** What an operator's command prints (`bellhop user reset-password …`), on this server's data. */
  async command(...words: string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(BINARY, words, {
      env: { ...process.env, ...this.#configuration() },
      timeout: PATIENCE,
    });
    return stdout;
  }

  /** Ends whatever runs and removes the data. */
  async remove(): Promise<void> {
    if (this.#process !== undefined) await this.kill9();
    await rm(this.data, { recursive: true, force: true });
  }

  #configuration(): Record<string, string> {
    return {
      BELLHOP_DATA__DIR: this.data,
      BELLHOP_SERVER__LISTEN: `127.0.0.1:${this.#ports.main}`,
      BELLHOP_ADMIN__LISTEN: `127.0.0.1:${this.#ports.admin}`,
      BELLHOP_DEMO__ENABLED: 'true',
      BELLHOP_DEMO__OTHER_ORIGIN_LISTEN: `127.0.0.1:${this.#ports.other}`,
      ...this.#environment,
    };
  }

  async #end(signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> {
    const child = this.#process;
    if (child === undefined) return null;
    this.#process = undefined;
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    const gone = once(child, 'exit');
    child.kill(signal);
    await within(gone, `the server did not end on ${signal}`);
    return child.exitCode;
  }

  async #spawn(): Promise<void> {
    const before = this.output.length;
    const child = spawn(BINARY, ['serve'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...this.#configuration() },
    });
    this.#process = child;
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        if (this.output.length < KEPT_LINES) this.output.push(line);
      });
    }
    let failed: Error | undefined;
    child.once('error', (error) => {
      failed = new Error(`${BINARY} could not be started (cargo build --workspace --bins makes it): ${error.message}`);
    });
    const deadline = Date.now() + PATIENCE;
    // The three lines for people come last at a start, and the set-up link is in one of them.
    while (!(this.output.slice(before).some((line) => line.startsWith('Data ')) && (await this.#isReady()))) {
      if (failed !== undefined) throw failed;
      if (child.exitCode !== null) {
        throw new Error(`the server ended with ${child.exitCode}:\n${this.output.join('\n')}`);
      }
      if (Date.now() > deadline) throw new Error(`the server was not ready in time:\n${this.output.join('\n')}`);
      await sleep(25);
    }
  }

  async #isReady(): Promise<boolean> {
    try {
      const answer = await fetch(`${this.adminUrl}/readyz`, { signal: AbortSignal.timeout(1_000) });
      return answer.ok;
    } catch {
      return false;
    }
  }
}

/** Waits for a promise, but not for ever. */
async function within<T>(promise: Promise<T>, complaint: string): Promise<T> {
  const timer = new AbortController();
  const late = sleep(PATIENCE, undefined, { signal: timer.signal }).then(() => {
    throw new Error(complaint);
  });
  late.catch(() => {});
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer.abort();
  }
}

/** Ports that were free just now: held all at once, so that they differ. */
async function freePorts(): Promise<[number, number, number]> {
  const held = [createServer(), createServer(), createServer()];
  const ports: number[] = [];
  for (const server of held) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port was given');
    ports.push(address.port);
  }
  for (const server of held) {
    server.close();
    await once(server, 'close');
  }
  const [main = 0, admin = 0, other = 0] = ports;
  return [main, admin, other];
}
