/** System programs for `deno task images`, and buildah with its own store. Starts nothing of ours. */
import { must as mustRun, type RunOptions } from "../../tasks/checkout/programs.ts";

/** A program's stdout. Throws an Error with its whole output if it is missing or fails. */
export const must = async (
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> => (await mustRun(program, args, options)).stdout.trim();

/** Calls buildah; returns its stdout. */
export type Buildah = (...args: string[]) => Promise<string>;

/** buildah with its images and containers below `dir`, where no others are. */
export function buildahIn(dir: string): Buildah {
  const store = ["--root", `${dir}/store`, "--runroot", `${dir}/run`, "--storage-driver", "vfs"];
  return (...args) => must("buildah", [...store, "--log-level", "error", ...args]);
}

/** An image's configuration for its containers. */
export interface ImageConfig {
  readonly User: string;
  readonly Env: readonly string[];
  readonly Entrypoint: readonly string[] | null;
  readonly Cmd: readonly string[] | null;
  readonly WorkingDir: string;
  readonly StopSignal?: Deno.Signal;
  readonly Healthcheck?: { readonly Test: readonly string[] };
}

/** An image with its files, which are read-only. */
export interface Image {
  readonly path: string;
  readonly config: ImageConfig;
}

/** Opens an image. */
export async function openImage(buildah: Buildah, name: string): Promise<Image> {
  const { Docker } = JSON.parse(await buildah("inspect", "--type", "image", name));
  const container = await buildah("from", "--pull-never", name);
  return { path: await buildah("mount", container), config: Docker.config };
}
