/**
 * A container without a container engine: the root of an image made read-only, a process, mount and network namespace,
 * the image's user, and no new privileges. So a user other than root has no capability. Memory, cores and processes are
 * not limited. Run it in a separate mount namespace, so that its mounts end with it.
 */
import { StreamedCommand } from "../../tasks/checkout/streamed_command.ts";
import { type Image, type ImageConfig, must } from "./buildah.ts";

const DEVICES = ["null", "zero", "full", "random", "urandom"];

/** A path of this machine, and its place in the container. */
export interface Mount {
  readonly source: string;
  readonly target: string;
  readonly is_read_only: boolean;
}

/** How a container is started. */
export interface Run {
  /** Its network namespace, as `ip netns` names it. */
  readonly network: string;
  readonly hosts: string;
  readonly entrypoint?: readonly string[] | undefined;
  readonly command?: readonly string[] | undefined;
  readonly user?: string | undefined;
  readonly mounts: readonly Mount[];
  /** Folders in memory, with options of `mount` after a colon. */
  readonly tmpfs: readonly string[];
}

/** The root of a container and everything that is mounted in it. */
export interface Root {
  readonly path: string;
  readonly run: Run;
  readonly config: ImageConfig;
}

const mount = (...args: string[]) => must("mount", args);

/** Makes a mount point, as engines do. */
async function makePlace(path: string, is_folder: boolean): Promise<void> {
  await Deno.mkdir(is_folder ? path : path.slice(0, path.lastIndexOf("/")), { recursive: true });
  if (!is_folder) (await Deno.open(path, { create: true, write: true })).close();
}

/** Makes the root of a container below `dir`: the image's files and the mounts, read-only. */
export async function makeRoot(dir: string, run: Run, image: Image): Promise<Root> {
  const path = `${dir}/root`;
  const upper = `${dir}/upper`;
  const work = `${dir}/work`;
  for (const folder of [path, upper, work]) await Deno.mkdir(folder, { recursive: true });
  const layers = `lowerdir=${image.path},upperdir=${upper},workdir=${work}`;
  await mount("-t", "overlay", "-o", layers, "overlay", path);
  await Deno.writeTextFile(`${path}/etc/hosts`, run.hosts);
  await mount("-t", "tmpfs", "-o", "mode=755", "dev", `${path}/dev`);
  for (const name of DEVICES) {
    await makePlace(`${path}/dev/${name}`, false);
    await mount("--bind", `/dev/${name}`, `${path}/dev/${name}`);
  }
  for (const { source, target, is_read_only } of run.mounts) {
    const is_folder = (await Deno.stat(source)).isDirectory;
    await makePlace(`${path}${target}`, is_folder);
    await mount("--bind", source, `${path}${target}`);
    if (is_read_only) await mount("-o", "remount,bind,ro", `${path}${target}`);
  }
  for (const given of run.tmpfs) {
    const [target = "", options = "mode=1777"] = given.split(":");
    await makePlace(`${path}${target}`, true);
    await mount("-t", "tmpfs", "-o", options, "tmpfs", `${path}${target}`);
  }
  await mount("-o", "remount,bind,ro", path);
  return { path, run, config: image.config };
}

/** Programs of this machine: what they start gets the image's PATH. */
const USR = (program: string) => `/usr/bin/${program}`;

function asUser({ run, config }: Root): string[] {
  const [user = "", group = user] = (run.user ?? config.User).split(":");
  return ["--setuid", user || "0", "--setgid", group || "0"];
}

function start(root: Root, args: readonly string[]): StreamedCommand {
  const [program = "", ...rest] = args;
  const env = Object.fromEntries(root.config.Env.map((pair) => {
    const at = pair.indexOf("=");
    return [pair.slice(0, at), pair.slice(at + 1)];
  }));
  const piped = { stdin: "null", stdout: "piped", stderr: "piped" } as const;
  const child = new Deno.Command(program, { args: rest, env, clearEnv: true, ...piped }).spawn();
  return new StreamedCommand(child);
}

/** A started container. */
export class Container {
  readonly root: Root;
  readonly process: StreamedCommand;

  /** Starts the image's program, or the one that the run names. */
  constructor(root: Root) {
    const { path, run, config } = root;
    const entrypoint = run.entrypoint ?? config.Entrypoint ?? [];
    const command = run.command ?? (run.entrypoint === undefined ? config.Cmd ?? [] : []);
    this.root = root;
    this.process = start(root, [
      ...[USR("nsenter"), `--net=/run/netns/${run.network}`, USR("setpriv"), "--no-new-privs"],
      ...[USR("unshare"), "--mount", "--pid", "--ipc", "--uts", "--fork", "--mount-proc"],
      ...["--root", path, "--wd", config.WorkingDir || "/", ...asUser(root), "--"],
      ...entrypoint,
      ...command,
    ]);
  }

  /** The first process in it. Undefined if there is none, or if it has ended. */
  get pid(): number | undefined {
    const { pid } = this.process.child;
    try {
      return Number(Deno.readTextFileSync(`/proc/${pid}/task/${pid}/children`).trim()) || undefined;
    } catch {
      return undefined;
    }
  }

  /** Runs a program in it; returns its exit code and output. */
  async exec(args: readonly string[]): Promise<{ code: number; text: string }> {
    const inside = ["--target", `${this.pid}`, "--mount", "--net", "--pid", "--ipc", "--uts"];
    const ran = start(this.root, [
      ...[USR("setpriv"), "--no-new-privs", USR("nsenter"), ...inside, "--root", "--wd"],
      ...[...asUser(this.root), "--", ...args],
    ]);
    const [{ code }, text] = await Promise.all([ran.child.status, ran.ended]);
    return { code, text };
  }

  /** Whether its health check (`["CMD", …]`) passes. */
  async isHealthy([, ...test]: readonly string[]): Promise<boolean> {
    return this.pid !== undefined && (await this.exec(test)).code === 0;
  }

  /** Sends a signal to its first process, unless that has ended. */
  signal(signal: Deno.Signal): void {
    const { pid } = this;
    if (pid !== undefined) Deno.kill(pid, signal);
  }

  /** Sends it the image's stop signal, and SIGKILL after the grace period. Returns its exit code. */
  async stop(grace_ms: number): Promise<number> {
    this.signal(this.root.config.StopSignal ?? "SIGTERM");
    const timer = setTimeout(() => this.signal("SIGKILL"), grace_ms);
    const { code } = await this.process.child.status;
    clearTimeout(timer);
    return code;
  }

  /** Waits for its end; returns its exit code and output. */
  async ended(): Promise<{ code: number; text: string }> {
    const [{ code }, text] = await Promise.all([this.process.child.status, this.process.ended]);
    return { code, text };
  }
}
