/**
 * Our own rules for containers, as pure functions over Dockerfiles and the validators' parsed files: containers are
 * hardened, figures in different files are consistent, images match deno.json, and the storage suffices. The validators
 * check the form of a file (`deploy_validate.ts`).
 */
import type { Config } from "../../shared/config/schema.ts";
import { controlBudget } from "../../shared/spine/contract/storage_plan.ts";
import { BUNDLE_ARGS, REPLAY_WORKER } from "../../shield/admin/console/replay_bundle.ts";
import type { Document } from "./deploy_validate.ts";

/** The configurations of the containers in one deployment. */
export interface Configs {
  readonly shield: Config;
  readonly brain: Config;
}

/** Factor by which a container's memory limit exceeds `[limits] memory_bytes`. */
const MEMORY_SHARE = 1.2;
/** Seconds between the latest end of a drain and SIGKILL. */
const GRACE_SECONDS = 5;
/** Ports that other machines may access. */
const PUBLIC_PORTS = ["4000"];
/** Services whose image has no program for a health check. */
const UNCHECKED = ["jaeger"];

/** The label that selects the pods of a workload. */
const LABEL = "app.kubernetes.io/name";

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
};

/** The bytes of a size such as `512M` (binary, as in Compose) or `2Gi`; NaN for any other text. */
export function sizeBytes(text: unknown): number {
  const [, digits, unit = ""] = /^(\d+)([KMG]i?)?$/.exec(String(text)) ?? [];
  return Number(digits) * (UNITS[unit] ?? NaN);
}

/** The seconds of a duration such as `1m30s`; NaN for any other text. */
function durationSeconds(text: unknown): number {
  const [whole, minutes = "0", seconds = "0"] = /^(?:(\d+)m)?(?:(\d+)s)?$/.exec(String(text)) ?? [];
  return whole === undefined || whole === "" ? NaN : Number(minutes) * 60 + Number(seconds);
}

function drainSeconds({ server }: Config): number {
  return server.drain_timeout_ms / 1_000 + GRACE_SECONDS;
}

/** The complaints that apply, each as a line `name: what is wrong`. */
function complaints(name: string, found: readonly (readonly [string, boolean])[]): string[] {
  return found.filter(([, holds]) => holds).map(([what]) => `${name}: ${what}`);
}

function pinned(image: unknown): boolean {
  const tag = /:([^:/@]+)(@sha256:[0-9a-f]{64})?$/.exec(String(image))?.[1];
  return tag !== undefined && tag !== "latest";
}

function serviceProblems(name: string, service: Document): string[] {
  const limits = service.deploy?.resources?.limits ?? {};
  const once = service.restart === "no";
  return complaints(`compose.yaml: ${name}`, [
    ["expected read_only: true", service.read_only !== true],
    ["expected cap_drop: [ALL]", !(service.cap_drop ?? []).includes("ALL")],
    ["expected no capability added", (service.cap_add ?? []).length > 0],
    [
      "expected no-new-privileges",
      !(service.security_opt ?? []).includes("no-new-privileges:true"),
    ],
    ["expected a limit of memory", !(sizeBytes(limits.memory) > 0)],
    ["expected limits of cpus and pids", limits.cpus === undefined || limits.pids === undefined],
    [`expected an image with a tag that is not latest`, !pinned(service.image)],
    ["expected a healthcheck", !once && !UNCHECKED.includes(name) && !service.healthcheck?.test],
    ...(service.ports ?? []).map(({ host_ip, published }: Document) =>
      [
        `port ${published} is open to other machines; expected 127.0.0.1 before it`,
        host_ip !== "127.0.0.1" && !PUBLIC_PORTS.includes(String(published)),
      ] as const
    ),
    ...Object.entries<Document>(service.depends_on ?? {}).map(([other, { condition }]) =>
      [`expected to wait until ${other} is healthy`, condition === "service_started"] as const
    ),
  ]);
}

/** The host paths that a compose model mounts. */
export function composeSources({ services }: Document): string[] {
  return Object.values<Document>(services).flatMap(({ volumes = [] }) =>
    volumes.filter(({ type }: Document) => type === "bind").map(({ source }: Document) => source)
  );
}

/** Services, networks and volumes without a definition; the program of compose-go accepts them. */
function unknownNames({ services, networks = {}, volumes = {} }: Document): string[] {
  const isNamed = ({ type }: Document) => type === "volume";
  return Object.entries<Document>(services).flatMap(([name, service]) =>
    complaints(`compose.yaml: ${name}`, [
      ...Object.keys(service.depends_on ?? {}).map((other) =>
        [`there is no service ${other}`, !(other in services)] as const
      ),
      ...Object.keys(service.networks ?? {}).map((network) =>
        [`there is no network ${network}`, !(network in networks)] as const
      ),
      ...(service.volumes ?? []).filter(isNamed).map(({ source }: Document) =>
        [`there is no volume ${source}`, !(source in volumes)] as const
      ),
    ])
  );
}

/**
 * The problems of the configurations: listeners that probes and Prometheus cannot reach from outside of the container,
 * and rooms that Shield and Brain would treat differently.
 */
function configProblems(where: string, configs: Configs): string[] {
  const [shield, brain] = [configs.shield.rooms, configs.brain.rooms].map((it) =>
    JSON.stringify(it)
  );
  return (["shield", "brain"] as const).flatMap((name) =>
    complaints(`${where}: ${name}`, [[
      'expected [ops] host = "0.0.0.0": on loopback nobody outside of the container reaches it',
      configs[name].ops.host !== "0.0.0.0",
    ], [
      "expected the [[rooms]] of the Shield: `arq status` warns when nodes have different ones",
      name === "brain" && brain !== shield,
    ]])
  );
}

/** The problems of compose.yaml. */
export function composeProblems(model: Document, configs: Configs): string[] {
  const { services } = model;
  const started = Object.entries<Document>(services);
  const adopted = new Set(started.flatMap(([, { depends_on = {} }]) => Object.keys(depends_on)));
  const limit = services.shield?.deploy?.resources?.limits?.memory;
  return [
    ...configProblems("compose.yaml", configs),
    ...unknownNames(model),
    ...started.flatMap(([name, service]) => serviceProblems(name, service)),
    // `up --wait` considers an ended service a failure, unless another service waits for its end.
    ...started.filter(([name, { restart, profiles }]) =>
      restart === "no" && profiles === undefined && !adopted.has(name)
    ).map(([name]) => `compose.yaml: ${name} ends, and nothing waits for it`),
    ...(["shield", "brain"] as const).flatMap((name) =>
      complaints(`compose.yaml: ${name}`, [[
        `expected stop_grace_period of ${drainSeconds(configs[name])}s or more`,
        !(durationSeconds(services[name]?.stop_grace_period) >= drainSeconds(configs[name])),
      ]])
    ),
    ...complaints("compose.yaml: shield", [[
      `expected a limit of memory ${MEMORY_SHARE} times [limits] memory_bytes or more`,
      !(sizeBytes(limit) >= MEMORY_SHARE * configs.shield.limits.memory_bytes),
    ]]),
  ];
}

/** The problems of a container by the rules for all containers. */
function hardenedProblems(name: string, container: Document): string[] {
  const { securityContext = {}, resources = {} } = container;
  return complaints(name, [
    ["expected an image with a tag that is not latest", !pinned(container.image)],
    ["expected readOnlyRootFilesystem", securityContext.readOnlyRootFilesystem !== true],
    [
      "expected allowPrivilegeEscalation: false",
      securityContext.allowPrivilegeEscalation !== false,
    ],
    [
      "expected every capability to be dropped",
      !(securityContext.capabilities?.drop ?? []).includes("ALL"),
    ],
    ["expected requests and a limit of memory", !resources.requests || !resources.limits?.memory],
  ]);
}

/** The problems of a pod by the rules for all pods. */
function podSecurityProblems(name: string, pod: Document): string[] {
  return complaints(name, [
    ["expected runAsNonRoot", pod.securityContext?.runAsNonRoot !== true],
    [
      "expected the seccomp profile RuntimeDefault",
      pod.securityContext?.seccompProfile?.type !== "RuntimeDefault",
    ],
    ["expected no token of a service account", pod.automountServiceAccountToken !== false],
  ]);
}

function containerProblems(name: string, container: Document): string[] {
  return complaints(name, [
    ...["startupProbe", "livenessProbe", "readinessProbe"].map((probe) =>
      [`expected a ${probe}`, container[probe] === undefined] as const
    ),
    [
      "the liveness probe must not ask for readiness: NATS may be down",
      container.livenessProbe?.httpGet?.path === "/health/ready",
    ],
  ]);
}

function isSpread({ topologySpreadConstraints: spread = [] }: Document): boolean {
  return ["topology.kubernetes.io/zone", "kubernetes.io/hostname"].every((key) =>
    spread.some(({ topologyKey }: Document) => topologyKey === key)
  );
}

function goLimit({ env = [] }: Document): string {
  const value = env.find(({ name }: Document) => name === "GOMEMLIMIT")?.value;
  return String(value).replace(/B$/, "");
}

function podProblems(name: string, workload: Document, configs: Configs): string[] {
  const pod = workload.spec.template.spec;
  const [container = {}] = pod.containers;
  const config = name === "shield" || name === "brain" ? configs[name] : undefined;
  const before = container.lifecycle?.preStop?.sleep?.seconds ?? 0;
  const needed = config === undefined ? 0 : before + drainSeconds(config);
  const memory = sizeBytes(container.resources?.limits?.memory);
  const guarded = name === "shield" ? MEMORY_SHARE * configs.shield.limits.memory_bytes : 0;
  const workers = configs.shield.policy.workers;
  return [
    ...pod.containers.flatMap((one: Document) => [
      ...hardenedProblems(`kubernetes: ${name}`, one),
      ...containerProblems(`kubernetes: ${name}`, one),
    ]),
    ...podSecurityProblems(`kubernetes: ${name}`, pod),
    ...complaints(`kubernetes: ${name}`, [
      ["expected topologySpreadConstraints over zones and nodes", !isSpread(pod)],
      [
        "expected GOMEMLIMIT of at most nine tenths of the limit of memory",
        name === "nats" && !(sizeBytes(goLimit(container)) <= 0.9 * memory),
      ],
      [
        `expected terminationGracePeriodSeconds of ${needed} or more`,
        !(pod.terminationGracePeriodSeconds >= needed),
      ],
      [
        `expected a limit of memory ${MEMORY_SHARE} times [limits] memory_bytes or more`,
        !(memory >= guarded),
      ],
      [
        "expected as many [policy] workers as the limit of cores",
        name === "shield" && Number(container.resources?.limits?.cpu) !== workers,
      ],
    ]),
  ];
}

/** The problems of the manifests of Kubernetes. `version` is the release version. */
export function kubernetesProblems(
  documents: readonly Document[],
  configs: Configs,
  version: string,
): string[] {
  const of = (kind: string) => documents.filter((document) => document.kind === kind);
  const workloads = [...of("Deployment"), ...of("StatefulSet")];
  const kept = new Set(
    of("PodDisruptionBudget").map(({ spec }) => spec.selector.matchLabels[LABEL]),
  );
  const images = workloads.flatMap(({ spec }) =>
    spec.template.spec.containers.map(({ image }: Document) => String(image))
  );
  const [scaler] = of("HorizontalPodAutoscaler");
  const target = scaler?.spec.metrics.find(({ type }: Document) => type === "Pods");
  const wanted = Number(String(target?.pods.target.averageValue).replace(/k$/, "000"));
  return [
    ...configProblems("kubernetes", configs),
    ...workloads.flatMap((workload) => podProblems(workload.metadata.name, workload, configs)),
    ...workloads.filter(({ metadata }) => !kept.has(metadata.name)).map(({ metadata }) =>
      `kubernetes: ${metadata.name}: expected a PodDisruptionBudget`
    ),
    ...images.filter((image) => image.startsWith("ghcr.io/") && !image.endsWith(`:${version}`)).map(
      (image) => `kubernetes: ${image}: expected the version of deno.json, ${version}`,
    ),
    ...complaints("kubernetes: shield", [
      [
        "expected [server] trusted_proxies: behind the Ingress all clients are one address",
        of("Ingress").length > 0 && configs.shield.server.trusted_proxies.length === 0,
      ],
      [
        "expected a target of connections below [limits] connections_per_process",
        !(wanted < configs.shield.limits.connections_per_process),
      ],
    ]),
  ];
}

function jobsIn(
  documents: readonly Document[],
): { name: string; spec: Document; cron?: Document }[] {
  return documents.flatMap(({ kind, metadata, spec }) => {
    const name = `kubernetes: ${metadata.name}`;
    if (kind === "CronJob") return [{ name, spec: spec.jobTemplate.spec, cron: spec }];
    return kind === "Job" ? [{ name, spec }] : [];
  });
}

/** The problems of jobs. `policies` are the manifests with the NetworkPolicies, `version` is the release version. */
export function jobProblems(
  documents: readonly Document[],
  policies: readonly Document[],
  version: string,
): string[] {
  const named = new Set(
    policies.filter(({ kind }) => kind === "NetworkPolicy").map(({ spec }) =>
      spec.podSelector.matchLabels?.[LABEL]
    ),
  );
  return jobsIn(documents).flatMap(({ name, spec, cron }) => {
    const { metadata, spec: pod } = spec.template;
    return [
      ...pod.containers.flatMap((one: Document) => hardenedProblems(name, one)),
      ...podSecurityProblems(name, pod),
      ...complaints(name, [
        ["expected a NetworkPolicy for its label", !named.has(metadata?.labels?.[LABEL])],
        ["expected restartPolicy: Never", pod.restartPolicy !== "Never"],
        [
          "expected concurrencyPolicy: Forbid",
          cron !== undefined && cron.concurrencyPolicy !== "Forbid",
        ],
        [
          "expected activeDeadlineSeconds, for a schedule must not be held up for ever",
          cron !== undefined && !(spec.activeDeadlineSeconds > 0),
        ],
        ...pod.containers.map(({ image }: Document) =>
          [
            `${image}: expected the version of deno.json, ${version}`,
            String(image).startsWith("ghcr.io/") && !String(image).endsWith(`:${version}`),
          ] as const
        ),
      ]),
    ];
  });
}

/** Factor for NATS' overhead beside messages: indexes, Raft logs, blocks before compaction. */
const DISK_SHARE = 1.1;
/** The units of sizes in NATS: `G` is decimal, `GB` is binary. */
const NATS_UNITS: Readonly<Record<string, number>> = {
  "": 1,
  K: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  KB: 2 ** 10,
  MB: 2 ** 20,
  GB: 2 ** 30,
  TB: 2 ** 40,
};

/** The bytes of `max_file_store` in the configuration of a server; NaN if it is absent. */
export function natsStorageBytes(text: string): number {
  const [, digits, unit = ""] = /^\s*max_file(?:_store)?:\s*(\d+)([A-Z]*)\s*$/im.exec(text) ?? [];
  return Number(digits) * (NATS_UNITS[unit.toUpperCase()] ?? NaN);
}

/** The bytes that a Shield's configuration promises to all tenants; NaN if it does not give the number of tenants. */
function promisedInAll({ shield, brain }: Configs, storage_bytes: number): number {
  const { durable, nats, audit } = shield;
  const { tenants = NaN, log_bytes, shared_streams, shared_bytes } = durable;
  const control_bytes = controlBudget(nats?.control_bytes ?? 0, storage_bytes);
  const is_shared = shared_streams > 0 && !Number.isNaN(tenants);
  const logs = is_shared ? shared_streams * shared_bytes : tenants * log_bytes;
  const reducer_bytes = brain.reducers.length === 0 ? 0 : brain.nats?.reducer_bytes ?? 0;
  return logs + control_bytes + reducer_bytes + audit.log_bytes;
}

/**
 * The problems of a deployment's storage. `disk_bytes` is undefined if the deployment does not give the size of its
 * disk.
 */
export function storageProblems(
  name: string,
  nats_conf: string,
  configs: Configs,
  disk_bytes: number | undefined,
): string[] {
  const storage_bytes = natsStorageBytes(nats_conf);
  const promised = promisedInAll(configs, storage_bytes);
  const declared = [configs.shield, configs.brain].map(({ nats }) => nats?.storage_bytes);
  return complaints(name, [
    ["nats.conf: expected max_file_store", !(storage_bytes > 0)],
    [
      `[nats] storage_bytes: expected max_file_store of nats.conf, ${storage_bytes}`,
      declared.some((bytes) => bytes !== storage_bytes),
    ],
    [
      `[durable] tenants x log_bytes (or shared_streams x shared_bytes), [nats] control_bytes, with [[reducers]] its reducer_bytes, and [audit] log_bytes are ${promised} bytes, ` +
      `expected at most max_file_store of nats.conf, ${storage_bytes}`,
      !(promised <= storage_bytes),
    ],
    [
      `expected a disk of ${DISK_SHARE} times max_file_store of nats.conf or more`,
      disk_bytes !== undefined && !(disk_bytes >= DISK_SHARE * storage_bytes),
    ],
  ]);
}

/** The size of each NATS server's disk in the manifests, in bytes. */
export function diskBytes(documents: readonly Document[]): number {
  const nats = documents.find(({ kind, metadata }) =>
    kind === "StatefulSet" && metadata.name === "nats"
  );
  return sizeBytes(nats?.spec.volumeClaimTemplates?.[0]?.spec.resources.requests.storage);
}

const BUNDLES = `deno ${BUNDLE_ARGS.join(" ")} --output=${REPLAY_WORKER}`;

/** The parts of deno.json that the images must match. */
interface DenoJson {
  readonly workspace: readonly string[];
  readonly tasks: Readonly<Record<string, string>>;
}

/** Flags that change how a program runs, except the permissions, which differ between images. */
function flagsOf(command: string): string[] {
  return command.match(/--(?:v8-flags=\S+|unstable-[\w-]+|ignore-env|no-prompt)/g) ?? [];
}

/** The command of the `ENTRYPOINT` in one line. */
function entryOf(text: string): string {
  const [, list = "[]"] = /^ENTRYPOINT (\[(?:[^\]]|\\\n)*\])/m.exec(text) ?? [];
  return (JSON.parse(list.replaceAll("\\\n", "")) as string[]).join(" ");
}

/** The modules among `files` that `deno cache` and `deno bundle` receive. Their patterns are expanded as in a shell. */
export function cachedModules(text: string, files: readonly string[]): string[] {
  const commands = text.match(/\bdeno (?:cache|bundle) (?:\\\n|[^&\n])*/g) ?? [];
  const patterns = commands.join(" ").match(/\S+\.ts\b/g) ?? [];
  return patterns.flatMap((pattern) => {
    const one = new RegExp(`^${pattern.replaceAll(".", "\\.").replaceAll("*", "[^/]*")}$`);
    return files.filter((file) => one.test(file));
  });
}

/** Our modules that a program needs and its Dockerfile does not copy. */
export function modulesNotCopied(part: string, text: string, modules: readonly string[]): string[] {
  const copied = [...text.matchAll(/^COPY ((?:[\w./*-]+ )+)[\w./-]+$/gm)].flatMap((
    [, paths = ""],
  ) => paths.trim().split(" "));
  const isCopied = (path: string) =>
    copied.some((given) =>
      given.endsWith("/*.ts")
        ? path.startsWith(given.slice(0, -4))
        : path === given || path.startsWith(given.replace(/\/?$/, "/"))
    );
  return modules.filter((path) => !isCopied(path)).map((path) =>
    `deploy/docker/${part}.Dockerfile: expected ${path} to be copied: the program imports it`
  );
}

/** The problems of a part's Dockerfile (`shield`, `brain`, `arq`). `deno_version` is CI's version. */
export function dockerfileProblems(
  part: string,
  text: string,
  { workspace, tasks }: DenoJson,
  deno_version: string,
): string[] {
  const entry = entryOf(text);
  const copied = (folder: string) =>
    text.includes(`COPY ${folder}/ ${folder}/`) || text.includes(`COPY ${folder}/deno.json`);
  const missing = workspace.map((path) => path.replace("./", "")).filter((path) => !copied(path));
  const found = [
    ...missing.map((path) => `expected COPY ${path}/deno.json: it is a member of the workspace`),
    ...flagsOf(tasks[part] ?? "").filter((flag) => !flagsOf(entry).includes(flag)).map((flag) =>
      `expected ${flag} in ENTRYPOINT, as deno task ${part} has it`
    ),
    ...(text.includes(`ARG DENO_VERSION=${deno_version}\n`)
      ? []
      : [`expected DENO_VERSION=${deno_version}, which .ci/run tests with`]),
    ...(/^USER \d+:\d+$/m.test(text) && !/^USER 0/m.test(text) ? [] : ["expected a numeric USER"]),
    ...(/--allow-all|(^| )-A( |$)/.test(entry) ? ["expected narrow permissions"] : []),
    ...(entry.includes("--cached-only") ? [] : ["expected --cached-only in ENTRYPOINT"]),
    ...(part === "arq" || /^HEALTHCHECK /m.test(text) ? [] : ["expected a HEALTHCHECK"]),
    ...(part === "brain" || text.replaceAll(/\s*\\\n\s*/g, " ").includes(BUNDLES)
      ? []
      : [`expected ${BUNDLES}: the console's thread for replays`]),
  ];
  return found.map((what) => `deploy/docker/${part}.Dockerfile: ${what}`);
}
