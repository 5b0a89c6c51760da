/**
 * The checks between a mistake in `deploy` and a deployment: each validator and each of our own rules must report a
 * planted mistake. `tasks/deploy/deploy.ts`, a step of the gate, checks the files themselves; `deploy_start_test.ts`
 * runs their configurations.
 */
import assert from "node:assert/strict";
import {
  cachedModules,
  dockerfileProblems,
  modulesNotCopied,
} from "../tasks/deploy/deploy_docker_rules.ts";
import { jobProblems } from "../tasks/deploy/deploy_job_rules.ts";
import {
  composeProblems,
  composeSources,
  kubernetesProblems,
} from "../tasks/deploy/deploy_rules.ts";
import type { Configs } from "../tasks/deploy/deploy_rules.ts";
import { natsStorageBytes, storageProblems } from "../tasks/deploy/deploy_storage_rules.ts";
import { ensureDeployTools } from "../tasks/deploy/deploy_tools.ts";
import {
  validateCompose,
  validateConfig,
  validateDockerfiles,
  validateKustomization,
  validateManifests,
  validateNats,
  validatePrometheus,
} from "../tasks/deploy/deploy_validate.ts";
import type { Document } from "../tasks/deploy/deploy_validate.ts";
import { ROOT } from "../tasks/checkout/source_files.ts";
import { atEnd } from "../shared/testing/at_end.ts";

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
