/**
 * The next turn of the event loop in which sockets were polled. An immediate alone is not such a turn: Deno (2.9) runs
 * its event loop as one task of tokio, which polls sockets only after 61 runs of a task that is always ready. While
 * immediates follow each other, received data wait for 61 of them. A byte that the process sends to itself arrives
 * together with the data of others.
 */

const BYTE = new Uint8Array(1);

/** The number of reads from sockets so far: each one shows that they were polled. */
export const socket_reads = { count: 0 };

/** A connection of the process with itself. */
interface Loop {
  readonly near: Deno.Conn;
  readonly far: Deno.Conn;
}

let loop: Loop | undefined;
let opening: Promise<void> | undefined;
/** The number of users that have sockets. */
let users = 0;
/** Jobs for the requested turn, and for the one after it. */
let jobs: (() => void)[] = [];
let later: (() => void)[] = [];
let is_asked = false;

/** Calls `job` once, in a later turn, after the data that sockets have received meanwhile. `job` must not throw. */
export function nextTurn(job: () => void): void {
  if (is_asked) return void later.push(job);
  jobs.push(job);
  ask();
}

/** Resolves in the next turn. For work in small parts, one a turn. */
export const turn = (): Promise<void> => new Promise((resolve) => nextTurn(resolve));

/**
 * Registers a user of sockets, until the returned function is called. Soon after, each turn polls them. If the runtime
 * allows no connection for that, a turn is an immediate.
 */
export function lookAtSockets(): () => void {
  users++;
  if (loop === undefined) opening ??= open();
  let ended = false;
  return () => {
    if (ended) return;
    ended = true;
    if (--users === 0) close();
  };
}

async function open(): Promise<void> {
  try {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr as Deno.NetAddr;
    const near_side = Deno.connect({ hostname: "127.0.0.1", port });
    const [far, near] = await Promise.all([listener.accept(), near_side]);
    // Another process's connection to our port is refused.
    if ((far.remoteAddr as Deno.NetAddr).port === (near.localAddr as Deno.NetAddr).port) {
      near.setNoDelay(true);
      loop = { near, far };
    } else {
      near.close();
      far.close();
    }
  } catch {
    // No file, or no permission.
  }
  opening = undefined;
  if (users === 0) close();
}

function close(): void {
  // A requested turn runs before the close.
  if (loop === undefined || is_asked) return;
  loop.near.close();
  loop.far.close();
  loop = undefined;
}

function ask(): void {
  is_asked = true;
  if (loop === undefined) return void setImmediate(run);
  loop.far.read(BYTE).then(run, run);
  // On failure the read ends, too, and runs the turn.
  loop.near.write(BYTE).catch(() => {});
}

function run(): void {
  const now = jobs;
  jobs = later;
  later = [];
  is_asked = false;
  for (const job of now) job();
  if (jobs.length > 0 && !is_asked) ask();
  else if (users === 0) close();
}
