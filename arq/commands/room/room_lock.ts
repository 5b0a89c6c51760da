/**
 * `arq room lock`: locks a room until the lease expires or a holder of its fencing token unlocks it, or while a program
 * runs. The program has our standard streams and our environment, and the fencing token and the room as variables,
 * which it may use.
 */
import { constants } from "node:os";
import { ArqonError, type HeldLock, holdLock } from "@arqon/sdk";
import {
  CommandError,
  EXIT,
  failed,
  Interrupted,
  printable,
  usageError,
  whyOf,
} from "../../terminal/exit.ts";
import { type Io, note, print, remark, sleep } from "../../terminal/io.ts";
import { startChild } from "../../../shared/process/deno_command.ts";
import { change, positionText, tell } from "../../rooms/room_command.ts";
import { when } from "../../answers/policy_text.ts";
import type { Flags } from "../../program/flags.ts";
import { openConnection } from "../../bus/target.ts";

/** Pause between two requests for another holder's lock. */
const LOOK_MS = 500;

/** The answer of `ask`, retried while another holder has the lock and the wait has not expired. */
export async function untilFree<Answer>(
  io: Io,
  room_id: string,
  { wait = 0 }: Pick<Flags, "wait">,
  ask: () => Promise<Answer>,
): Promise<Answer> {
  const until_ms = io.monotonic_ms() + wait * 1_000;
  for (let is_first = true;; is_first = false) {
    try {
      return await ask();
    } catch (error) {
      const left_ms = until_ms - io.monotonic_ms();
      const is_locked = error instanceof ArqonError && error.reason === "locked";
      if (!is_locked || left_ms <= 0) throw error;
      if (is_first) await note(io, `${room_id} is locked; waiting`);
      await sleep(Math.min(LOOK_MS, left_ms), io.signal);
    }
  }
}

/** Locks a room, with a program while it runs. Else prints only the fence on stdout, and the lease's end on stderr. */
export async function roomLock(
  io: Io,
  room_id: string,
  program: readonly string[],
  flags: Flags,
): Promise<number> {
  if (program.length > 0) return await roomLockRun(io, room_id, program, flags);
  const { ttl, fence } = flags;
  const data = JSON.stringify(ttl === undefined ? {} : { ttl_ms: ttl * 1_000 });
  const held = fence === undefined ? {} : { fence };
  const answer = await untilFree(
    io,
    room_id,
    flags,
    () => change(io, flags, { ...held, room: room_id, name: "room.lock", data }),
  );
  const { members } = answer;
  const until = when(members["until_ms"]);
  const text = `${room_id} is locked until ${until}${positionText(members)}`;
  await print(io.stderr, `${printable(text)}\n`);
  return await tell(io, flags, answer, String(members["fence"]));
}

/** Time for a program to end when its lock is lost; then it is killed. */
const GRACE_MS = 5_000;

/** Shells add the signal's number to this for a program ended by a signal. */
const SIGNALLED = 128;

/** Runs the program under the lock. Resolves with its exit code; rejects when the lock is lost. */
async function roomLockRun(
  io: Io,
  room_id: string,
  words: readonly string[],
  flags: Flags,
): Promise<number> {
  if (flags.fence !== undefined) {
    throw usageError("--fence renews a held lock; a program gets its own lock");
  }
  // Once the program runs, a stop ends it first, then the lock, then the connection.
  const asking = new AbortController();
  const stop = () => asking.abort(io.signal.reason);
  io.signal.throwIfAborted();
  io.signal.addEventListener("abort", stop, { once: true });
  const own: Io = { ...io, signal: asking.signal };
  await using connection = await openConnection(own, flags);
  const room = connection.room(room_id);
  const ttl_ms = flags.ttl === undefined ? {} : { ttl_ms: flags.ttl * 1_000 };
  const options = { ...ttl_ms, signal: asking.signal };
  await using lock = await untilFree(own, room_id, flags, () => holdLock(room, options));
  io.signal.removeEventListener("abort", stop);
  io.signal.throwIfAborted();
  return await runLocked(io, room_id, words, lock);
}

/** Runs the program, whose words are never none, until it ends or the lock is lost. */
async function runLocked(
  io: Io,
  room_id: string,
  words: readonly string[],
  lock: HeldLock,
): Promise<number> {
  const [name = ""] = words;
  const child = start(io, words, {
    ARQON_LOCK_FENCE: String(lock.fence),
    ARQON_LOCK_ROOM: room_id,
  });
  let grace: ReturnType<typeof setTimeout> | undefined;
  const lost = () => {
    const text = printable(`arq: the lock of ${room_id} is lost; ${name} gets SIGTERM`);
    void remark(io.stderr, `${text}\n`);
    send(child, "SIGTERM");
    grace = setTimeout(() => send(child, "SIGKILL"), GRACE_MS);
  };
  const stopped = () => {
    const signal = signalOf(io);
    if (signal !== undefined) send(child, signal);
  };
  if (lock.signal.aborted) lost();
  else lock.signal.addEventListener("abort", lost, { once: true });
  if (io.signal.aborted) stopped();
  else io.signal.addEventListener("abort", stopped, { once: true });
  const { code, signal } = await child.status;
  clearTimeout(grace);
  lock.signal.removeEventListener("abort", lost);
  io.signal.removeEventListener("abort", stopped);
  if (lock.signal.aborted) throw lostError(room_id, name, lock.signal.reason);
  const numbers: Readonly<Record<string, number>> = constants.signals;
  return signal === null ? code : SIGNALLED + (numbers[signal] ?? 0);
}

/**
 * Starts the program through the shell, the only program that our permissions allow. The shell replaces itself by the
 * program, so signals and the exit code are the program's own. Windows has no such shell.
 */
function start(io: Io, words: readonly string[], env: Record<string, string>): Deno.ChildProcess {
  const [program = "", ...rest] = words;
  const is_windows = Deno.build.os === "windows";
  const [command, args] = is_windows
    ? [program, rest]
    : ["sh", ["-c", 'exec "$@"', "arq", ...words]];
  const streams = { stdin: "inherit", stdout: "inherit", stderr: "inherit" } as const;
  try {
    return startChild(command, { args, cwd: io.cwd, env, ...streams });
  } catch (error) {
    const why = whyOf(error);
    throw failed(
      `${program} cannot be started: ${why}`,
      is_windows
        ? "on Windows, only the binary of arq may run other programs"
        : "sh starts them, which must be there: the container image has none",
    );
  }
}

/** The signal for the program when we are stopped; undefined when its terminal has already sent it. */
function signalOf({ signal, stdout, stderr }: Io): Deno.Signal | undefined {
  const { reason } = signal;
  if (!(reason instanceof Interrupted) || reason.exit_code !== EXIT.interrupted) return "SIGTERM";
  return stdout.is_tty || stderr.is_tty ? undefined : "SIGINT";
}

function send(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch {
    // The program has ended already.
  }
}

function lostError(room_id: string, name: string, reason: unknown): CommandError {
  const why = reason instanceof Error ? reason.message : String(reason);
  const cause = reason instanceof ArqonError ? { cause: reason } : undefined;
  return new CommandError(
    `the lock of ${room_id} was lost while ${name} ran: ${why}`,
    EXIT.failure,
    "give the fence (ARQON_LOCK_FENCE) to every write, so that a late one is refused",
    cause,
  );
}
