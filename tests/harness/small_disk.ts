/**
 * A disk of a few MiB for a test: its own tmpfs, which only root may mount. The file system itself is filled, so that
 * every write of every process fails as on a full disk.
 */
import { must, run } from "../../tasks/checkout/programs.ts";

/** A mounted file system, unmounted with the test's scope. */
export interface SmallDisk extends AsyncDisposable {
  readonly folder: string;
  /** Uses up all remaining space. */
  fill(): Promise<void>;
  /** Frees what `fill` has used. */
  clear(): Promise<void>;
}

/** Why it is not possible here; undefined: it is. */
export function noSmallDisk(): string | undefined {
  if (Deno.build.os !== "linux") return "only Linux has tmpfs";
  return Deno.uid() === 0 ? undefined : "only root may mount a file system";
}

/** Rejects when it cannot be mounted: a container may lack the right even for root. */
export async function mountSmallDisk(mebibytes: number): Promise<SmallDisk> {
  const folder = await Deno.makeTempDir({ prefix: "arqon-small-" });
  try {
    await must("mount", ["-t", "tmpfs", "-o", `size=${mebibytes}m,mode=700`, "tmpfs", folder]);
  } catch (error) {
    await Deno.remove(folder);
    throw error;
  }
  const ballast = `${folder}/ballast`;
  return {
    folder,
    async fill() {
      // It ends when there is no space left; that is no failure.
      await run("dd", ["if=/dev/zero", `of=${ballast}`, "bs=4096", "oflag=append", "conv=notrunc"]);
    },
    clear: () => Deno.remove(ballast),
    async [Symbol.asyncDispose]() {
      // Lazily: processes that still have a file open there end with the test.
      await must("umount", ["-l", folder]);
      await Deno.remove(folder);
    },
  };
}
