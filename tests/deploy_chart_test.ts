/**
 * The Helm chart with common values, and with mistakes: its output is valid for Kubernetes, and errors name values that
 * cannot work. No cluster is used.
 */
import assert from "node:assert/strict";
import { parseConfig } from "../shared/config/load.ts";
import { plainProblems } from "../tasks/deploy/deploy.ts";
import { CHART, madeByChart, plainFiles, validateChart } from "../tasks/deploy/deploy_helm.ts";
import { ensureDeployTools } from "../tasks/deploy/deploy_tools.ts";
import { type Document, validateKustomization } from "../tasks/deploy/deploy_validate.ts";
import { ROOT } from "../tasks/checkout/source_files.ts";
import { atEnd } from "../shared/testing/at_end.ts";

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
