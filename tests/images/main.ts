/**
 * `deno task images [--shipped]`: builds each Dockerfile of this checkout with buildah and `.dockerignore`, on
 * stand-ins for the official images (`bases.ts`), and runs the built images (`run.ts`). Nothing is pulled or pushed.
 * Exits with 0 if everything holds, 1 with what does not, 3 with what this machine lacks.
 */
import { listFiles, ROOT } from "../../tasks/checkout/source_files.ts";
import { run as runProgram } from "../../tasks/checkout/programs.ts";
import { readServices } from "../compose_stand_in/model.ts";
import { runTask, type Say } from "../harness/task.ts";
import { flag } from "../harness/task_arguments.ts";
import type { Verdict } from "../harness/verdict.ts";
import { basesOf, makeBases, makeTrees, type Trees } from "./bases.ts";
import { type Buildah, buildahIn, must } from "./buildah.ts";

/** Required programs, and the Debian package of each. */
const PROGRAMS = {
  buildah: "buildah",
  debootstrap: "debootstrap",
  "dpkg-query": "dpkg",
  ip: "iproute2",
  nsenter: "util-linux",
  setpriv: "util-linux",
  unshare: "util-linux",
};
const FOR_DEV_CONTAINER = { go: "golang (1.26 or newer: https://go.dev/dl)", node: "nodejs" };

const USAGE = {
  command: "deno task images",
  about:
    `Builds each Dockerfile by buildah on stand-ins for the official images, and runs what it has built as
compose.yaml does. Exits 1 when something does not hold, 3 when this machine lacks something.`,
  options: { shipped: flag("leave out the image of the dev container, which takes some minutes") },
};

/** What this machine lacks, and how to install it. */
async function lacking(programs: Readonly<Record<string, string>>): Promise<string[]> {
  if (Deno.build.os !== "linux") return ["Linux: containers are made of its namespaces"];
  const found = Object.entries(programs).map(async ([program, name]) => {
    if ((await runProgram("sh", ["-c", `command -v ${program}`]))?.ok === true) return [];
    return [`${program} is not there: apt-get install ${name}`];
  });
  const root = Deno.uid() === 0 ? [] : ["root makes the containers: run it by sudo"];
  return [...root, ...(await Promise.all(found)).flat()];
}

/** Where images are built. */
interface Place {
  readonly buildah: Buildah;
  readonly trees: Trees;
  readonly say: Say;
}

/** A Dockerfile, the folder that it copies from, and its image's name. */
interface Build {
  readonly file: string;
  readonly folder: string;
  readonly image: string;
}

const DEV_CONTAINER: Build = {
  file: ".devcontainer/Dockerfile",
  folder: `${ROOT}.devcontainer`,
  image: "arqon-dev-container",
};

/** Everything that we ship. Compose.yaml names the images. */
async function shippedBuilds(): Promise<Build[]> {
  const services = Object.values(readServices(`${ROOT}compose.yaml`, {}));
  const files = await listFiles(["Dockerfile"]);
  return files.filter((file) => file !== DEV_CONTAINER.file).map((file) => {
    const image = services.find(({ build }) => build?.dockerfile === file)?.image;
    if (image === undefined) throw new Error(`${file}: no service of compose.yaml is built by it`);
    return { file, folder: ROOT, image };
  });
}

/** Builds images, each after stand-ins for its base images and for `more`. */
async function build(
  { buildah, trees, say }: Place,
  all: readonly Build[],
  more: readonly string[] = [],
): Promise<void> {
  const texts = await Promise.all(all.map(({ file }) => Deno.readTextFile(`${ROOT}${file}`)));
  await makeBases(buildah, trees, new Set([...texts.flatMap(basesOf), ...more]), say);
  for (const { file, folder, image } of all) {
    // Only this format keeps HEALTHCHECK.
    const form = ["--isolation", "chroot", "--pull-never", "--format", "docker", "--quiet"];
    await buildah("bud", ...form, "--file", `${ROOT}${file}`, "--tag", image, folder);
    say(`${file} is built`);
  }
}

/** Runs the images in separate namespaces, which end with it. */
async function run(dir: string): Promise<number> {
  const own = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"];
  // `ip netns` keeps names in /run.
  const begin = 'mount -t tmpfs tmpfs /run && ip link set lo up && exec "$@"';
  const program = [Deno.execPath(), "run", "--allow-all", `${ROOT}tests/images/run.ts`, dir];
  const args = [...own, "sh", "-c", begin, "sh", ...program];
  return (await new Deno.Command("unshare", { args, cwd: ROOT, stdin: "null" }).spawn().status)
    .code;
}

async function buildAndRun(dir: string, is_shipped_only: boolean, say: Say): Promise<Verdict> {
  say("Debian 12, by debootstrap");
  const place = { buildah: buildahIn(dir), trees: await makeTrees(dir), say };
  const { nats, valkey } = readServices(`${ROOT}compose.yaml`, {});
  await build(place, await shippedBuilds(), [nats.image, valkey.image]);
  say("the services of compose.yaml");
  if (await run(dir) !== 0) return { problems: ["the images do not run as they are to"] };
  if (!is_shipped_only) await build(place, [DEV_CONTAINER]);
  return { problems: [] };
}

async function images(is_shipped_only: boolean, say: Say): Promise<Verdict> {
  const needed = is_shipped_only ? PROGRAMS : { ...PROGRAMS, ...FOR_DEV_CONTAINER };
  const undecided = await lacking(needed);
  if (undecided.length > 0) return { problems: [], undecided };
  await Deno.mkdir(`${ROOT}.arqon/cache`, { recursive: true });
  // One run at a time; the system releases the lock when the process ends.
  using lock = await Deno.open(`${ROOT}.arqon/cache/images.lock`, { create: true, write: true });
  await lock.lock(true);
  const dir = `${ROOT}.arqon/images`;
  const remove = () => must("rm", ["-rf", "--one-file-system", dir]);
  // Left over from a run that was killed.
  await remove();
  await Deno.mkdir(dir);
  try {
    return await buildAndRun(dir, is_shipped_only, say);
  } catch (error) {
    return { problems: [error instanceof Error ? error.message : String(error)] };
  } finally {
    await remove();
  }
}

if (import.meta.main) {
  await runTask(USAGE, Deno.args, ({ shipped }, say) => images(shipped, say));
}
