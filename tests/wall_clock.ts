/**
 * The wall clock of one process, set by a test while the process runs: libfaketime, controlled by a file. Its monotonic
 * clock is unaffected, as when an operator or NTP sets a machine's clock.
 */

/** Where Debian and Ubuntu install the library. */
const LIBRARIES = ["x86_64", "aarch64"].map((machine) =>
  `/usr/lib/${machine}-linux-gnu/faketime/libfaketimeMT.so.1`
);
const MISSING =
  "libfaketime is needed to set the clock of one process: Debian and Ubuntu: apt-get install " +
  "--no-install-recommends libfaketime";

/** A clock that starts at the machine's time. */
export interface WallClock {
  /** For the process that uses the clock. */
  readonly env: Readonly<Record<string, string>>;
  /** That many seconds ahead of the machine's from now on; below 0: behind. */
  set(ahead_seconds: number): Promise<void>;
}

async function findLibrary(): Promise<string | undefined> {
  for (const path of LIBRARIES) {
    const found = await Deno.stat(path).catch(() => undefined);
    if (found?.isFile) return path;
  }
  return undefined;
}

/**
 * A clock whose file is in `dir`. Undefined, with a log line, if the library is missing; in CI, which installs it, that
 * is an Error.
 */
export async function createWallClock(dir: string): Promise<WallClock | undefined> {
  const library = await findLibrary();
  if (library === undefined) {
    if (Deno.env.get("CI") !== undefined) throw new Error(MISSING);
    console.log(`      skipped: ${MISSING}`);
    return undefined;
  }
  const path = `${dir}/clock`;
  const set = async (ahead_seconds: number) => {
    const sign = ahead_seconds < 0 ? "" : "+";
    // Atomically: the process may read it at any moment.
    await Deno.writeTextFile(`${path}.next`, `${sign}${ahead_seconds}\n`);
    await Deno.rename(`${path}.next`, path);
  };
  await set(0);
  return {
    env: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: path,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
    },
    set,
  };
}
