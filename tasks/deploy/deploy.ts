/**
 * The step "containers" of `deno task verify`: checks that everything below `deploy` and compose.yaml is well formed,
 * with real validators (`deploy_validate.ts`) and our own rules. It starts no container; docs/deploy.md lists which
 * parts were run.
 */
import { parseAllDocuments } from "yaml";
import { deno } from "../checkout/programs.ts";
import {
  cachedModules,
  composeProblems,
  composeSources,
  type Configs,
  diskBytes,
  dockerfileProblems,
  jobProblems,
  kubernetesProblems,
  modulesNotCopied,
  storageProblems,
} from "./deploy_rules.ts";
import {
  CHART,
  type DeployTools,
  type Document,
  ensureDeployTools,
  madeByChart,
  PLAIN,
  plainFiles,
  validateChart,
  validateCompose,
  validateConfig,
  validateDockerfiles,
  validateKustomization,
  validateManifests,
  validateNats,
  validatePrometheus,
} from "./deploy_validate.ts";
import { isTestCode, listFiles, ROOT } from "../checkout/source_files.ts";

const PARTS = ["shield", "brain", "arq"];
/** Images that only add files to another project's program. */
const OTHERS = ["grafana"];
/** Manifests outside of kustomization.yaml, which users apply when they need them. */
const ALONE = ["restore", "standby"];
/** Configurations for commands of `arq`. */
const OF_ARQ = ["backup", "restore", "standby"];
const RULES = ["rules", "alerts", "store_alerts"].map((name) => `deploy/prometheus/${name}.yml`);

const read = (path: string) => Deno.readTextFile(`${ROOT}${path}`);

/**
 * The modules that `modules` import directly or indirectly, and `modules` themselves, as paths relative to the root.
 * One call handles all of them.
 */
async function reached(modules: readonly string[]): Promise<string[]> {
  const root = new URL("../../", import.meta.url).href;
  const file = await Deno.makeTempFile({ dir: `${ROOT}.arqon/cache`, suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, modules.map((path) => `import "../../${path}";\n`).join(""));
    const { stdout } = await deno(["info", "--json", file]);
    const { modules: found }: { modules: { specifier: string }[] } = JSON.parse(stdout);
    return found.map(({ specifier }) => specifier).filter((url) => url.startsWith(root))
      .map((url) => url.slice(root.length)).filter((path) => !path.startsWith(".arqon/"));
  } finally {
    await Deno.remove(file);
  }
}

async function notCopied(part: string, text: string, files: readonly string[]) {
  return modulesNotCopied(part, text, await reached(cachedModules(text, files)));
}

async function dockerfiles(tools: DeployTools): Promise<string[]> {
  const files = PARTS.map((part) => `deploy/docker/${part}.Dockerfile`);
  const deno_json = JSON.parse(await read("deno.json"));
  const deno_version = /DENO_PACKAGE="deno@([\d.]+)"/.exec(await read(".ci/run"))?.[1] ?? "";
  const texts = await Promise.all(files.map(read));
  const ours = (await listFiles([".ts"])).filter((path) => !isTestCode(path));
  const left_out = texts.map((text, index) => notCopied(PARTS[index] ?? "", text, ours));
  return [
    ...await validateDockerfiles(tools, [
      ...files,
      ...OTHERS.map((name) => `deploy/docker/${name}.Dockerfile`),
    ]),
    ...(await Promise.all(left_out)).flat(),
    ...texts.flatMap((text, index) =>
      dockerfileProblems(PARTS[index] ?? "", text, deno_json, deno_version)
    ),
  ];
}

/** The configurations of a folder, or the problems with them. */
async function configsOf(folder: string): Promise<Configs | string[]> {
  const shield = await validateConfig(`${folder}/shield.toml`);
  const brain = await validateConfig(`${folder}/brain.toml`);
  if (shield.value === undefined || brain.value === undefined) {
    return [...shield.problems, ...brain.problems];
  }
  return { shield: shield.value, brain: brain.value };
}

async function compose(tools: DeployTools): Promise<string[]> {
  const configs = await configsOf("deploy/compose");
  const { problems, value } = await validateCompose(tools, "compose.yaml");
  if (Array.isArray(configs)) return [...configs, ...problems];
  const sources = value === undefined ? [] : composeSources(value);
  const there = await Promise.all(
    sources.map((path) => Deno.stat(path).then(() => true, () => false)),
  );
  return [
    ...problems,
    ...sources.filter((_, index) => !there[index]).map((path) => `compose.yaml: no ${path}`),
    ...(value === undefined ? [] : composeProblems(value, configs)),
    ...await validateNats(tools, "deploy/nats/nats.conf"),
    ...storageProblems("compose", await read("deploy/nats/nats.conf"), configs, undefined),
    ...await validatePrometheus(tools, "deploy/compose/prometheus.yml", RULES),
  ];
}

/**
 * The problems of manifests that are applied separately, each together with kustomize's output. An operator also passes
 * each of these files to `arq`.
 */
async function jobs(
  tools: DeployTools,
  folder: string,
  kustomized: readonly Document[],
  version: string,
): Promise<string[]> {
  const alone = ALONE.map((name) => `${folder}/${name}.yaml`);
  const texts = await Promise.all(alone.map(read));
  const documents = texts.flatMap((text) => parseAllDocuments(text).map((one) => one.toJS()));
  const forms = await Promise.all([
    ...alone.map((path) => validateManifests(tools, path)),
    ...OF_ARQ.map(async (name) => (await validateConfig(`${folder}/${name}.toml`)).problems),
  ]);
  return [...forms.flat(), ...jobProblems([...kustomized, ...documents], kustomized, version)];
}

/** The files of the plain set that differ from the chart's output; `write` replaces them. */
export async function plainProblems(
  tools: Pick<DeployTools, "helm">,
  write = false,
): Promise<readonly string[]> {
  const { problems, value } = await madeByChart(tools, CHART, []);
  if (value === undefined) return problems;
  const stale: string[] = [];
  for (const [path, text] of plainFiles(value)) {
    if (write) await Deno.writeTextFile(`${ROOT}${path}`, text);
    else if (await read(path).catch(() => "") !== text) {
      stale.push(`${path}: the chart makes another; deno run -A tasks/deploy/deploy.ts --write`);
    }
  }
  return stale;
}

/** The problems of the chart with its default values, and with those of each size. */
async function chart(tools: DeployTools): Promise<string[]> {
  const sizes = (await Array.fromAsync(Deno.readDir(`${ROOT}${CHART}/sizes`)))
    .map(({ name }) => ["--values", `${CHART}/sizes/${name}`]);
  const judged = await Promise.all([[], ...sizes].map((one) => validateChart(tools, CHART, one)));
  return [...judged.flatMap(({ problems }) => problems), ...await plainProblems(tools)];
}

async function kubernetes(tools: DeployTools): Promise<string[]> {
  const folder = PLAIN;
  const configs = await configsOf(folder);
  const { problems, value } = await validateKustomization(tools, folder);
  if (Array.isArray(configs)) return [...configs, ...problems];
  const { version } = JSON.parse(await read("deno.json"));
  return [
    ...problems,
    ...(value === undefined ? [] : kubernetesProblems(value, configs, version)),
    ...storageProblems(
      "kubernetes",
      await read(`${folder}/nats.conf`),
      configs,
      value && diskBytes(value),
    ),
    ...await validateManifests(tools, `${folder}/secrets.example.yaml`),
    ...await validateManifests(tools, `${folder}/prometheus_adapter.yaml`),
    ...await jobs(tools, folder, value ?? [], version),
    ...await chart(tools),
    ...await validateNats(tools, `${folder}/nats.conf`),
    ...await validatePrometheus(tools, `${folder}/prometheus_scrape.yml`, []),
  ];
}

/** All problems, one on each line. Rejects if a validator is missing and cannot be installed. */
async function deployProblems(tools: DeployTools): Promise<string[]> {
  const found = await Promise.all([dockerfiles(tools), compose(tools), kubernetes(tools)]);
  return found.flat();
}

if (import.meta.main) {
  try {
    const tools = await ensureDeployTools();
    const problems = Deno.args.includes("--write")
      ? await plainProblems(tools, true)
      : await deployProblems(tools);
    for (const problem of problems) console.error(problem);
    if (problems.length > 0) Deno.exit(1);
    console.log(
      "containers: images, compose.yaml, the manifests of Kubernetes and the chart are well formed",
    );
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(1);
  }
}
