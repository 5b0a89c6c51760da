/**
 * Every command that follows something ends with the first signal, even after it was idle so long that the process
 * collected its garbage (some 30 s), which removes everything unreferenced. No message comes meanwhile.
 */
import assert from "node:assert/strict";
import { type ArqProcess, runArq, startArq, succeeds } from "../../testing/run_arq.ts";

const HOLD_MS = 45_000;
/** A command that receives the signal ends in milliseconds; one that lost its handler never ends. */
const END_MS = 20_000;
const FREE_PORTS = ["--port", "0", "--ops-port", "0", "--admin-port", "0"];
const CODES = { SIGINT: 130, SIGTERM: 143 } as const;

/** `says` is the line on stderr that shows it follows; without it, its first output does. */
interface Follower {
  readonly command: string;
  readonly says?: string;
  readonly signal: keyof typeof CODES;
}

const FOLLOWERS: readonly Follower[] = [
  { command: "tail lobby", says: "Tailing lobby", signal: "SIGTERM" },
  { command: "tail lobby --json", says: "Tailing lobby", signal: "SIGINT" },
  { command: "policy logs --follow", says: "Following the policies", signal: "SIGTERM" },
  { command: "sub lobby", says: "Subscribed", signal: "SIGINT" },
  { command: "sub orders --from 0 --json", says: "Subscribed", signal: "SIGTERM" },
  { command: "room watch lobby", says: "Watching lobby", signal: "SIGTERM" },
  { command: "top --interval 5", signal: "SIGTERM" },
  { command: "status --watch 3600", signal: "SIGINT" },
  { command: "dev logs --follow", signal: "SIGTERM" },
];

/** A bus in the background, found from its folder; ended and removed with the test. */
async function backgroundBus(): Promise<AsyncDisposable & { readonly cwd: string }> {
  const cwd = await Deno.makeTempDir({ prefix: "arq-follow-" });
  succeeds(await runArq(["dev", "up", "--embedded", ...FREE_PORTS], { cwd }));
  return {
    cwd,
    async [Symbol.asyncDispose]() {
      await runArq(["dev", "down"], { cwd });
      await Deno.remove(cwd, { recursive: true });
    },
  };
}

/** Starts the command and waits until it follows; its output is drained so that no pipe fills up. */
async function start({ command, says }: Follower, cwd: string): Promise<ArqProcess> {
  const running = await startArq(command.split(" "), { cwd });
  const output = running.child.stdout.getReader();
  if (says === undefined) await output.read();
  else await running.says(says);
  (async () => {
    while (!(await output.read()).done);
  })();
  return running;
}

/** How the command ended; kills one that does not. */
async function endOf({ child }: ArqProcess): Promise<number | "never"> {
  const late = Promise.withResolvers<"never">();
  const timer = setTimeout(() => late.resolve("never"), END_MS);
  const end = await Promise.race([child.status.then(({ code }) => code), late.promise]);
  clearTimeout(timer);
  if (end === "never") child.kill("SIGKILL");
  await child.status;
  return end;
}

Deno.test("what follows a stream for 45 s ends with the first SIGINT or SIGTERM", async () => {
  await using bus = await backgroundBus();
  const running: (readonly [Follower, ArqProcess])[] = [];
  for (const one of FOLLOWERS) running.push([one, await start(one, bus.cwd)]);
  // The elapsed time itself is tested here, not a condition that it brings about.
  await new Promise((resolve) => setTimeout(resolve, HOLD_MS));
  for (const [{ signal }, { child }] of running) child.kill(signal);
  const ends = await Promise.all(
    running.map(async ([{ command }, one]) => [command, await endOf(one)] as const),
  );
  assert.deepEqual(ends, FOLLOWERS.map(({ command, signal }) => [command, CODES[signal]]));
});
