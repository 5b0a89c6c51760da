/**
 * The checks between a mistake in `deploy` and a deployment: each validator, each of our own rules and the Helm chart
 * must report a planted mistake, and `.dockerignore` must keep what the Dockerfiles copy, by the module that BuildKit
 * uses. `tasks/deploy/deploy.ts`, a step of the gate, checks the files themselves; `deploy_start_test.ts` runs their
 * configurations.
 */
import assert from "node:assert/strict";
import {
  cachedModules,
  composeProblems,
  composeSources,
  type Configs,
  dockerfileProblems,
  jobProblems,
  kubernetesProblems,
  modulesNotCopied,
  natsStorageBytes,
  storageProblems,
} from "../tasks/deploy/deploy_rules.ts";
import {
  CHART,
  type Document,
  ensureDeployTools,
  madeByChart,
  plainFiles,
  validateChart,
  validateCompose,
  validateConfig,
  validateDockerfiles,
  validateKustomization,
  validateManifests,
  validateNats,
  validatePrometheus,
} from "../tasks/deploy/deploy_validate.ts";
import { isTestCode, listFiles, ROOT } from "../tasks/checkout/source_files.ts";
import { atEnd } from "../shared/testing/at_end.ts";
import { parseConfig } from "../shared/config/load.ts";
import { plainProblems } from "../tasks/deploy/deploy.ts";
import { must } from "../tasks/checkout/programs.ts";
import { ensureGoProgram } from "./harness/go_program.ts";

const read = (path: string) => Deno.readTextFileSync(`${ROOT}${path}`);

/** Writes a copy of a file of the checkout with `from` replaced by `to`; returns the path of the copy. */
function planted(folder: string, path: string, from: string, to: string): string {
  const text = read(path);
  assert.ok(text.includes(from), `${path} has no ${from}`);
  const copy = `${folder}/${path.split("/").at(-1)}`;
  Deno.writeTextFileSync(copy, text.replace(from, to));
  return copy;
}

async function configsOf(folder: string): Promise<Configs> {
  const [shield, brain] = await Promise.all([
    validateConfig(`${folder}/shield.toml`),
    validateConfig(`${folder}/brain.toml`),
  ]);
  assert.ok(shield.value && brain.value, [...shield.problems, ...brain.problems].join("\n"));
  return { shield: shield.value, brain: brain.value };
}

Deno.test("each validator names a planted mistake", async () => {
  const tools = await ensureDeployTools();
  const dir = await Deno.makeTempDir({ prefix: "arqon-deploy-" });
  const plant = (path: string, from: string, to: string) => planted(dir, path, from, to);
  await using _end = atEnd(() => Deno.remove(dir, { recursive: true }));
  const docker = plant("deploy/docker/shield.Dockerfile", "WORKDIR /app", "WORKDIR app");
  assert.match((await validateDockerfiles(tools, [docker])).join("\n"), /DL3000/);
  const compose = plant("compose.yaml", "cap_drop:", "cap_dropp:");
  assert.match((await validateCompose(tools, compose)).problems.join("\n"), /cap_dropp/);
  const manifest = plant("deploy/kubernetes/shield.yaml", "readinessProbe", "readynessProbe");
  assert.match((await validateManifests(tools, manifest)).join("\n"), /readynessProbe/);
  const kind = plant("deploy/kubernetes/shield.yaml", "kind: Service", "kind: Servize");
  assert.match((await validateManifests(tools, kind)).join("\n"), /Servize/);
  plant("deploy/kubernetes/kustomization.yaml", "- namespace.yaml", "- name_space.yaml");
  assert.match((await validateKustomization(tools, dir)).problems.join(), /name_space.yaml/);
  const nats = plant(
    "deploy/nats/nats.conf",
    "sync_interval: always",
    "sync_interval: sometimes",
  );
  assert.match((await validateNats(tools, nats)).join("\n"), /sometimes/);
  plant("deploy/compose/prometheus.yml", "scrape_interval", "scrape_intervall");
  const prometheus = await validatePrometheus(tools, relative(`${dir}/prometheus.yml`), []);
  assert.match(prometheus.join("\n"), /scrape_intervall/);
  const toml = plant("deploy/compose/shield.toml", "memory_bytes", "memory_byte");
  assert.match((await validateConfig(relative(toml))).problems.join("\n"), /memory_byte/);
});

/** The Shield's ops listener on an address that is unreachable from outside of its container. */
function onLoopback({ shield, brain }: Configs): Configs {
  return { shield: { ...shield, ops: { ...shield.ops, host: "127.0.0.1" } }, brain };
}

/** An absolute path relative to the root. */
function relative(path: string): string {
  return `${"../".repeat(ROOT.split("/").length - 2)}${path.slice(1)}`;
}

Deno.test("our rules hold a compose file to being hardened and to its configurations", async () => {
  const { compose } = await ensureDeployTools();
  const configs = await configsOf("deploy/compose");
  const { value } = await validateCompose({ compose } as never, "compose.yaml");
  assert.deepEqual(composeProblems(value, configs), []);
  assert.match(composeProblems(value, onLoopback(configs)).join(), /shield: expected \[ops\] host/);
  const roomless = { ...configs, brain: { ...configs.brain, rooms: [] } };
  assert.match(composeProblems(value, roomless).join(), /brain: expected the \[\[rooms\]\]/);
  assert.ok(composeSources(value).length > 5);
  const mistakes: readonly (readonly [RegExp, (services: Document) => void])[] = [
    [/nats: expected read_only/, ({ nats }) => delete nats.read_only],
    [/nats: expected cap_drop/, ({ nats }) => nats.cap_drop = []],
    [/nats: expected no capability/, ({ nats }) => nats.cap_add = ["CHOWN"]],
    [/valkey: expected no-new-privileges/, ({ valkey }) => delete valkey.security_opt],
    [
      /brain: expected a limit of memory/,
      ({ brain }) => delete brain.deploy.resources.limits.memory,
    ],
    [/brain: expected limits of cpus/, ({ brain }) => delete brain.deploy.resources.limits.pids],
    [/jaeger: expected an image/, ({ jaeger }) => jaeger.image = "jaegertracing/jaeger"],
    [/nats: expected an image/, ({ nats }) => nats.image = "localhost:5000/nats:latest"],
    [/grafana: expected a healthcheck/, ({ grafana }) => delete grafana.healthcheck],
    [/port 4002 is open/, ({ shield }) => delete shield.ports[2].host_ip],
    [/until nats is healthy/, ({ brain }) => brain.depends_on.nats.condition = "service_started"],
    [/brain: there is no service nets/, ({ brain }) => {
      brain.depends_on.nets = { condition: "service_healthy" };
    }],
    [/nats: there is no network back/, ({ nats }) => nats.networks.back = null],
    [/nats: there is no volume other/, ({ nats }) => nats.volumes[1].source = "other"],
    [/keys ends, and nothing waits/, ({ shield }) => delete shield.depends_on.keys],
    [/stop_grace_period of 35s/, ({ shield }) => shield.stop_grace_period = "10s"],
    [/times \[limits\] memory_bytes/, ({ shield }) => {
      shield.deploy.resources.limits.memory = "1G";
    }],
  ];
  for (const [expected, change] of mistakes) {
    const changed = structuredClone(value);
    change(changed.services);
    assert.match(composeProblems(changed, configs).join("\n"), expected);
  }
});

Deno.test("our rules hold the manifests to the restricted profile and to their configurations", async () => {
  const { kustomize, kubernetes_validate } = await ensureDeployTools();
  const folder = "deploy/kubernetes";
  const configs = await configsOf(folder);
  const tools = { kustomize, kubernetes_validate } as never;
  const { value = [] } = await validateKustomization(tools, folder);
  const { version } = JSON.parse(read("deno.json"));
  assert.deepEqual(kubernetesProblems(value, configs, version), []);
  const hidden = kubernetesProblems(value, onLoopback(configs), version);
  assert.match(hidden.join(), /shield: expected \[ops\] host/);
  assert.match(kubernetesProblems(value, configs, "9.9.9").join(), /expected the version/);
  const { server } = configs.shield;
  const unproxied = { ...configs.shield, server: { ...server, trusted_proxies: [] } };
  assert.match(
    kubernetesProblems(value, { ...configs, shield: unproxied }, version).join(),
    /expected \[server\] trusted_proxies/,
  );
  const mistakes: readonly (readonly [RegExp, (container: Document, pod: Document) => void])[] = [
    [
      /expected readOnlyRoot/,
      ({ securityContext }) => delete securityContext.readOnlyRootFilesystem,
    ],
    [/allowPrivilege/, ({ securityContext }) => delete securityContext.allowPrivilegeEscalation],
    [/every capability/, ({ securityContext }) => delete securityContext.capabilities],
    [/a limit of memory$/m, ({ resources }) => delete resources.limits.memory],
    [/limit of memory 1.2 times/, ({ resources }) => resources.limits.memory = "1Gi"],
    [/limit of cores/, ({ resources }) => resources.limits.cpu = "8"],
    [/expected a startupProbe/, (container) => delete container.startupProbe],
    [/must not ask for readiness/, ({ livenessProbe, readinessProbe }) => {
      livenessProbe.httpGet = readinessProbe.httpGet;
    }],
    [/with a tag/, (container) => container.image = "ghcr.io/novelbytelabs/arqon-shield"],
    [/runAsNonRoot/, (_, pod) => delete pod.securityContext.runAsNonRoot],
    [/seccomp/, (_, pod) => delete pod.securityContext.seccompProfile],
    [/service account/, (_, pod) => delete pod.automountServiceAccountToken],
    [/topologySpread/, (_, pod) => delete pod.topologySpreadConstraints],
    [/over zones/, (_, pod) => pod.topologySpreadConstraints.shift()],
    [/terminationGracePeriodSeconds of 40/, (_, pod) => pod.terminationGracePeriodSeconds = 30],
  ];
  for (const [expected, change] of mistakes) {
    const changed = structuredClone(value);
    const { spec } = changed.find(({ kind, metadata }) =>
      kind === "Deployment" && metadata.name === "shield"
    ).spec.template;
    change(spec.containers[0], spec);
    assert.match(kubernetesProblems(changed, configs, version).join("\n"), expected);
  }
  const uncollected = structuredClone(value);
  uncollected.find(({ kind }) => kind === "StatefulSet").spec.template.spec.containers[0].env.pop();
  assert.match(kubernetesProblems(uncollected, configs, version).join(), /expected GOMEMLIMIT/);
  const alone = value.filter(({ kind }) => kind !== "PodDisruptionBudget");
  assert.match(kubernetesProblems(alone, configs, version).join("\n"), /nats: expected a PodDisr/);
});

Deno.test("our rules hold jobs to being hardened, to their end and to a network policy", async () => {
  const { kustomize, kubernetes_validate } = await ensureDeployTools();
  const tools = { kustomize, kubernetes_validate } as never;
  const { value = [] } = await validateKustomization(tools, "deploy/kubernetes");
  const { version } = JSON.parse(read("deno.json"));
  assert.deepEqual(jobProblems(value, value, version), []);
  assert.match(jobProblems(value, value, "9.9.9").join(), /backup: .*: expected the version/);
  const unnamed = value.filter(({ kind }) => kind !== "NetworkPolicy");
  assert.match(jobProblems(value, unnamed, version).join(), /backup: expected a NetworkPolicy/);
  const mistakes: readonly (readonly [RegExp, (cron: Document, pod: Document) => void])[] = [
    [/concurrencyPolicy/, (cron) => cron.concurrencyPolicy = "Allow"],
    [/activeDeadlineSeconds/, (cron) => delete cron.jobTemplate.spec.activeDeadlineSeconds],
    [/restartPolicy/, (_, pod) => pod.restartPolicy = "OnFailure"],
    [/runAsNonRoot/, (_, pod) => delete pod.securityContext],
    [/service account/, (_, pod) => delete pod.automountServiceAccountToken],
    [/every capability/, (_, pod) => delete pod.containers[0].securityContext.capabilities],
    [/a limit of memory/, (_, pod) => delete pod.containers[0].resources],
  ];
  for (const [expected, change] of mistakes) {
    const changed = structuredClone(value);
    const { spec } = changed.find(({ kind, metadata }) =>
      kind === "CronJob" && metadata.name === "backup"
    );
    change(spec, spec.jobTemplate.spec.template.spec);
    assert.match(jobProblems(changed, changed, version).join("\n"), expected);
  }
});

Deno.test("our rules keep disks, NATS and the reservations of tenants consistent", async () => {
  for (const [folder, conf] of [["kubernetes", "kubernetes"], ["compose", "nats"]] as const) {
    const configs = await configsOf(`deploy/${folder}`);
    const nats_conf = read(`deploy/${conf}/nats.conf`);
    const problems = (
      { text = nats_conf, disk_bytes = 20 * 2 ** 30, shield = configs.shield } = {},
    ) => storageProblems(folder, text, { ...configs, shield }, disk_bytes).join("\n");
    assert.equal(problems(), "");
    assert.match(problems({ text: "jetstream {}" }), /expected max_file_store$/m);
    assert.match(problems({ text: nats_conf.replace(/\d+GB/, "7GB") }), /storage_bytes: expected/);
    assert.match(problems({ disk_bytes: 2 ** 30 }), /a disk of 1.1 times/);
    const more = { ...configs.shield.durable, log_bytes: 2 ** 30, shared_bytes: 2 ** 31 };
    assert.match(
      problems({ shield: { ...configs.shield, durable: more } }),
      /tenants x log_bytes .* expected at most max_file_store/,
    );
    const { tenants: _, ...rest } = configs.shield.durable;
    assert.match(problems({ shield: { ...configs.shield, durable: rest } }), /NaN bytes/);
  }
  assert.deepEqual(
    ["max_file: 5MB", "  max_file_store: 18GB", "max_file_store: 3G", "max_file_store: 700"]
      .map(natsStorageBytes),
    [5 * 2 ** 20, 18 * 2 ** 30, 3e9, 700],
  );
});

Deno.test("our rules hold the images to deno.json", () => {
  const { workspace, tasks } = JSON.parse(read("deno.json"));
  const text = read("deploy/docker/shield.Dockerfile");
  const version = /ARG DENO_VERSION=(.*)/.exec(text)?.[1] ?? "";
  const problems = (changed = text, more = {}, deno = version) =>
    dockerfileProblems("shield", changed, { workspace, tasks, ...more }, deno).join("\n");
  assert.equal(problems(), "");
  assert.match(problems(text, { workspace: ["./new"] }), /COPY new\/deno.json/);
  assert.match(problems(text, { tasks: { shield: "deno --unstable-kv x" } }), /--unstable-kv/);
  assert.match(problems(text, {}, "9.9.9"), /DENO_VERSION=9.9.9/);
  assert.match(problems(text.replace("USER 65532:65532", "USER root")), /numeric USER/);
  assert.match(problems(text.replace('"--allow-net"', '"-A"')), /narrow permissions/);
  assert.match(problems(text.replaceAll('"--cached-only", ', "")), /--cached-only/);
  assert.match(problems(text.replace("HEALTHCHECK", "# HEALTHCHECK")), /a HEALTHCHECK/);
  assert.match(problems(text.replace("--minify ", "")), /--minify .*replay_worker.js/);
  const modules = ["shield/main.ts", "arq/replay/page_thread.ts", "brain/main.ts"];
  assert.deepEqual(cachedModules(text, modules), modules.slice(0, 2));
  assert.match(modulesNotCopied("shield", text, modules).join(), /^[^,]* brain\/main.ts [^,]*$/);
});

Deno.test("the image of Grafana has the dashboards that compose.yaml mounts", () => {
  const text = read("deploy/docker/grafana.Dockerfile");
  const copies = [...text.matchAll(/^COPY (\S+) (\S+)$/gm)].map((
    [, from = "", to = ""],
  ) => [from, to]);
  const [, dashboards] = copies.find(([from]) => from === "deploy/grafana/dashboards/") ?? [];
  assert.ok(dashboards !== undefined);
  assert.ok(text.includes(`${dashboards}arqonbus-overview.json`));
  assert.equal(
    /path: (\S+)/.exec(read("deploy/docker/grafana_dashboards.yml"))?.[1],
    dashboards.replace(/\/$/, ""),
  );
  // Replaces the image's own data source: Grafana accepts only one default.
  const source = copies.find(([from]) => from === "deploy/docker/grafana_sources.yml")?.[1];
  assert.ok(read("compose.yaml").includes(`grafana_sources.yml:${source}:ro`));
});

const sets = (...values: string[]) => values.flatMap((value) => ["--set", value]);

async function made(...values: string[]): Promise<Document[]> {
  const { problems, value } = await validateChart(await ensureDeployTools(), CHART, values);
  assert.deepEqual(problems, []);
  return value ?? [];
}

async function refused(...values: string[]): Promise<string> {
  const { problems, value } = await validateChart(await ensureDeployTools(), CHART, values);
  assert.equal(value, undefined);
  return problems.join("\n");
}

function named(documents: readonly Document[], kind: string, name: string): Document {
  return documents.find((one) => one.kind === kind && one.metadata.name === name);
}

function configIn(documents: readonly Document[], part: string) {
  const text = named(documents, "Secret", `${part}-config`).data[`${part}.toml`];
  return parseConfig(new TextDecoder().decode(Uint8Array.fromBase64(text)), { file: part });
}

Deno.test("the plain set equals the chart's output, without Helm's additions", async () => {
  const tools = await ensureDeployTools();
  assert.deepEqual(await plainProblems(tools), []);
  const { value = "" } = await madeByChart(tools, CHART, sets("brain.replicas=3"));
  const files = plainFiles(value);
  const brain = files.get("deploy/kubernetes/brain.yaml") ?? "";
  const committed = await Deno.readTextFile(`${ROOT}deploy/kubernetes/brain.yaml`);
  assert.equal(brain, committed.replace("replicas: 2", "replicas: 3"));
  const { value: kustomized = [] } = await validateKustomization(tools, "deploy/kubernetes");
  const ours = (await made()).map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  // kustomize appends a hash to the names of configurations, and adds a namespace.
  const theirs = kustomized.filter(({ kind }) => kind !== "Namespace").map(({ kind, metadata }) =>
    `${kind} ${metadata.name.replace(/(-config)-[a-z0-9]{10}$/, "$1")}`
  );
  assert.deepEqual(ours.sort(), theirs.sort());
  assert.doesNotMatch([...files.values()].join(), /Helm|checksum|arqon-\w+:\d/);
});

Deno.test("a custom issuer is in the Shield's configuration, whatever its content", async () => {
  const issuer = 'https://id.example/?a="b"&c=\\d';
  const folder = await Deno.makeTempDir({ prefix: "arqon-chart-" });
  await using _end = atEnd(() => Deno.remove(folder, { recursive: true }));
  const values = JSON.stringify({ auth: { issuer, audience: "my <bus>" } });
  await Deno.writeTextFile(`${folder}/values.json`, values);
  const [own] = configIn(await made("--values", `${folder}/values.json`), "shield").auth.issuers;
  assert.deepEqual([own?.issuer, own?.audience], [issuer, "my <bus>"]);
});

Deno.test("the proxies that are believed are those of the values", async () => {
  const proxiesOf = async (...values: string[]) =>
    configIn(await made(...values), "shield").server.trusted_proxies;
  assert.ok((await proxiesOf()).includes("10.0.0.0/8"));
  assert.deepEqual(await proxiesOf(...sets("shield.trustedProxies={10.1.2.3,fd00::/8}")), [
    "10.1.2.3",
    "fd00::/8",
  ]);
  assert.deepEqual(await proxiesOf("--set-json", "shield.trustedProxies=[]"), []);
  assert.match(
    await refused(...sets("shield.trustedProxies={ingress}")),
    /trustedProxies.*pattern/s,
  );
});

Deno.test("parts are omitted, replaced and placed as the values specify", async () => {
  const documents = await made(
    ...sets("nats.enabled=false", "backup.enabled=false", "ingress.enabled=false"),
    ...sets("shield.autoscaling.enabled=false", "shield.replicas=5", "image.tag=edge"),
    ...sets("image.pullSecrets[0]=hub", "brain.nodeSelector.disk=fast", "shield.podLabels.team=a"),
    ...sets("networkPolicy.shieldEgress[0].ports[0].port=443"),
    ...["shield", "brain"].flatMap((part) => [
      "--set-file",
      `${part}.config=${ROOT}deploy/kubernetes/${part}.toml`,
    ]),
  );
  const kinds = new Set(documents.map(({ kind }) => kind));
  for (
    const kind of ["StatefulSet", "CronJob", "Ingress", "HorizontalPodAutoscaler", "ConfigMap"]
  ) {
    assert.ok(!kinds.has(kind), kind);
  }
  const shield = named(documents, "Deployment", "shield").spec;
  assert.equal(shield.replicas, 5);
  assert.equal(shield.template.metadata.labels.team, "a");
  assert.equal(shield.template.spec.containers[0].image, "ghcr.io/novelbytelabs/arqon-shield:edge");
  assert.deepEqual(shield.template.spec.imagePullSecrets, [{ name: "hub" }]);
  const brain = named(documents, "Deployment", "brain").spec.template.spec;
  assert.deepEqual(brain.nodeSelector, { disk: "fast" });
  const { egress } = named(documents, "NetworkPolicy", "shield").spec;
  assert.deepEqual(egress.at(-1), { ports: [{ port: 443 }] });
  assert.equal(named(documents, "PodDisruptionBudget", "shield").spec.maxUnavailable, 1);
});

Deno.test("another configuration restarts the pods that read it, and no others", async () => {
  const before = await made();
  const after = await made(...sets("auth.audience=other"));
  const sum = (documents: Document[], kind: string, name: string) =>
    named(documents, kind, name).spec.template.metadata.annotations["checksum/config"];
  assert.notEqual(sum(after, "Deployment", "shield"), sum(before, "Deployment", "shield"));
  assert.equal(sum(after, "Deployment", "brain"), sum(before, "Deployment", "brain"));
  assert.equal(sum(after, "StatefulSet", "nats"), sum(before, "StatefulSet", "nats"));
});

Deno.test("impossible values are refused, with the name of the value", async () => {
  assert.match(await refused(...sets("shield.replica=3")), /replica.*not allowed/);
  assert.match(await refused(...sets("ingress.host=no host")), /host.*pattern/s);
  assert.match(await refused(...sets("backup.keep=0")), /keep.*minimum/s);
  assert.match(
    await refused(...sets("nats.enabled=false")),
    /nats.enabled is false: give \w+\.config, whose \[nats\] urls name your own servers/,
  );
});

const MATCHER = {
  name: "arqon_docker_ignore",
  version: "patternmatcher-0.6.1",
  source: { folder: "tests/docker_ignore" },
};
const SOURCE_FILES = await listFiles([""]);

/** The paths of the checkout that a Dockerfile copies, without those of other stages. */
function copySources(dockerfile: string): string[] {
  const lines = dockerfile.replaceAll("\\\n", " ").matchAll(/^(?:COPY|ADD) (.*)$/gm);
  return [...lines].flatMap(([, text = ""]) => {
    const words = text.trim().split(/\s+/);
    if (words.some((word) => word.startsWith("--from="))) return [];
    return words.filter((word) => !word.startsWith("--")).slice(0, -1);
  });
}

/** The files of a source: one file, those of a pattern, or those of a folder. */
function filesOf(source: string): string[] {
  const path = source.replace(/\/$/, "").replaceAll(".", "\\.").replaceAll("*", "[^/]*");
  const form = new RegExp(`^${path}(/|$)`);
  return SOURCE_FILES.filter((file) => form.test(file));
}

/** The files that `.dockerignore` hides. */
async function hidden(ignore_file: string, files: readonly string[]): Promise<Set<string>> {
  const program = await ensureGoProgram(MATCHER);
  const { stdout } = await must(program, [ignore_file], { stdin: files.join("\n") });
  return new Set(stdout.split("\n"));
}

/** Hidden files that a Dockerfile copies. In folders, tests and pages may be hidden. */
async function problems(ignore_file: string): Promise<string[]> {
  const left_out = await hidden(ignore_file, SOURCE_FILES);
  const dockerfiles = await listFiles(["Dockerfile"]);
  const found = await Promise.all(dockerfiles.map(async (name) => {
    const text = await Deno.readTextFile(`${ROOT}${name}`);
    return copySources(text).flatMap((source) => {
      const files = filesOf(source);
      if (files.length === 0) return [`${name}: ${source} is not there`];
      const needed = (path: string) =>
        path === source || !(isTestCode(path) || /^proto\/testing\/|\.md$/.test(path));
      return files.filter((path) => needed(path) && left_out.has(path))
        .map((path) => `${name}: COPY ${source} lacks ${path}`);
    });
  }));
  return found.flat();
}

Deno.test("every file that a Dockerfile copies passes .dockerignore", async () => {
  assert.deepEqual(await problems(`${ROOT}.dockerignore`), []);
});

Deno.test("a source that .dockerignore hides is named", async () => {
  const file = await Deno.makeTempFile({ prefix: "arqon-ignore-" });
  await using _end = atEnd(() => Deno.remove(file));
  const text = await Deno.readTextFile(`${ROOT}.dockerignore`);
  await Deno.writeTextFile(file, `${text}arq/main.ts\nLICENSE\n`);
  const found = (await problems(file)).join("\n");
  assert.match(found, /arq\.Dockerfile: COPY arq\/ lacks arq\/main\.ts/);
  assert.match(found, /shield\.Dockerfile: COPY LICENSE lacks LICENSE/);
});
