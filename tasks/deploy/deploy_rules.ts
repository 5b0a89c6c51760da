/**
 * Our own rules for containers, as pure functions over the validators' parsed files: containers are hardened, and
 * figures in different files are consistent. The validators check the form of a file (`deploy_validate.ts`).
 */
import type { Config } from "../../shared/config/schema.ts";
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
export function complaints(name: string, found: readonly (readonly [string, boolean])[]): string[] {
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
export function hardenedProblems(name: string, container: Document): string[] {
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
export function podSecurityProblems(name: string, pod: Document): string[] {
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
    of("PodDisruptionBudget").map(({ spec }) =>
      spec.selector.matchLabels["app.kubernetes.io/name"]
    ),
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
