/** Programs of the system for `deno task images`, and buildah with a store of its own. Nothing of ours is started here. */
import { must as mustRun, type RunOptions } from "../../tasks/checkout/programs.ts";

/** What a program wrote to stdout. Throws an Error with all that it said when it is not there or fails. */
export const must = async (
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> => (await mustRun(program, args, options)).stdout.trim();

/** Calls buildah; gives what it wrote to stdout. */
export type Buildah = (...args: string[]) => Promise<string>;

/** buildah with its images and containers below `dir`, where nobody else's are. */
export function buildahIn(dir: string): Buildah {
  const store = ["--root", `${dir}/store`, "--runroot", `${dir}/run`, "--storage-driver", "vfs"];
  return (...args) => must("buildah", [...store, "--log-level", "error", ...args]);
}

/** What an image says about the containers of it. */
export interface ImageConfig {
  readonly User: string;
  readonly Env: readonly string[];
  readonly Entrypoint: readonly string[] | null;
  readonly Cmd: readonly string[] | null;
  readonly WorkingDir: string;
  readonly StopSignal?: Deno.Signal;
  readonly Healthcheck?: { readonly Test: readonly string[] };
}

/** An image with its files, which nobody writes to. */
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
