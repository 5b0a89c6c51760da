/**
 * A disk of a few MiB for a test: a tmpfs of its own, which only root may mount. What is filled is the
 * file system itself, so that every write of every process fails as on a disk that is full.
 */

/** A mounted file system, unmounted when the test's scope ends. */
export interface SmallDisk extends AsyncDisposable {
  readonly folder: string;
  /** Takes all the room that is left. */
  fill(): Promise<void>;
  /** Gives back what `fill` has taken. */
  clear(): Promise<void>;
}

/** Why there cannot be one here; undefined: there can. */
export function noSmallDisk(): string | undefined {
  if (Deno.build.os !== "linux") return "only Linux has tmpfs";
  return Deno.uid() === 0 ? undefined : "only root may mount a file system";
}

async function run(program: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args, stdout: "null" }).output();
  if (!success) throw new Error(`${program} ${args}: ${new TextDecoder().decode(stderr)}`);
}

/** Rejects when it cannot be mounted: a container may lack the right even for root. */
export async function mountSmallDisk(mebibytes: number): Promise<SmallDisk> {
  const folder = await Deno.makeTempDir({ prefix: "arqon-small-" });
  try {
    await run("mount", "-t", "tmpfs", "-o", `size=${mebibytes}m,mode=700`, "tmpfs", folder);
  } catch (error) {
    await Deno.remove(folder);
    throw error;
  }
  const ballast = `${folder}/ballast`;
  return {
    folder,
    async fill() {
      // It ends when there is no room any more; that is no failure.
      await new Deno.Command("dd", {
        args: ["if=/dev/zero", `of=${ballast}`, "bs=4096", "oflag=append", "conv=notrunc"],
        stdout: "null",
        stderr: "null",
      }).output();
    },
    clear: () => Deno.remove(ballast),
    async [Symbol.asyncDispose]() {
      // Lazily: whoever still has a file open there ends with the test.
      await run("umount", "-l", folder);
      await Deno.remove(folder);
    },
  };
}
