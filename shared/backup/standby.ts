/**
 * A second site: the bus's streams as mirrors on other NATS servers, and how they become the streams of a
 * bus when the first site is gone. The servers copy; this makes the mirrors, and remembers in each what
 * its origin was like. Not a failover on its own: nobody here decides that a site is gone.
 */
import { ArqonError } from "@arqon/proto";
import type { ListedStream, RawConfig, StreamApi } from "./stream_api.ts";
import { inBackupOrder } from "./stream_order.ts";

/** In the metadata of a mirror: the configuration of its origin, as JSON. */
const ORIGIN = "arqon-origin";

/** The second site's servers, and the first's behind them. */
export interface StandbySite {
  readonly own: StreamApi;
  readonly is_clustered: boolean;
  /** Of `[platform.registry] kv_bucket`. */
  readonly schema_bucket: string;
}

/** The first site. */
export interface OriginSite {
  readonly api: StreamApi;
  /** Its JetStream domain. */
  readonly domain: string;
}

/** Copies of a mirror in a cluster, if its origin has no more: the first site may be one server. */
const REPLICAS = 3;

/** How far a mirror is. */
export interface MirrorState {
  readonly name: string;
  /** Messages behind the origin, as the second site last heard; null: it has not heard of it. */
  readonly lag: number | null;
  readonly last_sequence: number;
}

/** What `syncStandby` did. */
export interface Synced {
  readonly made: readonly string[];
  /** The origin has another configuration by now. */
  readonly updated: readonly string[];
  /** The origin was deleted; the copies are kept. */
  readonly orphans: readonly string[];
  readonly mirrors: readonly MirrorState[];
}

const metadataOf = ({ metadata }: RawConfig): Readonly<Record<string, string>> =>
  (metadata ?? {}) as Record<string, string>;

/** What the server adds on its own is of that server. */
const withoutServers = (metadata: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(metadata).filter(([key]) => !key.startsWith("_nats.")));

/** What the origin of a mirror was like; undefined for what is none of ours. */
function originOf(config: RawConfig): RawConfig | undefined {
  const text = metadataOf(config)[ORIGIN];
  return text === undefined ? undefined : JSON.parse(text);
}

/** The configuration of a mirror. It keeps what its origin keeps; it takes no messages itself. */
function mirrorConfig(origin: RawConfig, domain: string, num_replicas: number): RawConfig {
  const kept = { ...origin, metadata: withoutServers(metadataOf(origin)) };
  const { name, max_msgs_per_subject, max_age, max_bytes, allow_msg_ttl } = origin;
  return {
    name,
    retention: "limits",
    storage: "file",
    // A mirror that refuses what its origin has taken would stall.
    discard: "old",
    max_msgs_per_subject,
    max_age,
    max_bytes,
    allow_msg_ttl,
    num_replicas,
    mirror: { name, external: { api: `$JS.${domain}.API` } },
    metadata: { [ORIGIN]: JSON.stringify(kept) },
  };
}

/** The configuration of what was a mirror: that of its origin, on these servers. */
function promotedConfig(mirror: RawConfig): RawConfig | undefined {
  const origin = originOf(mirror);
  return origin === undefined ? undefined : { ...origin, num_replicas: mirror.num_replicas };
}

const stateOf = ({ name, mirror, state }: ListedStream): MirrorState => ({
  name,
  lag: mirror === undefined || mirror.active < 0 ? null : mirror.lag,
  last_sequence: state.last_seq,
});

/** How far the mirrors are. */
export async function mirrorStates({ own, schema_bucket }: StandbySite): Promise<MirrorState[]> {
  const streams = inBackupOrderWithLogs(await own.list(), schema_bucket);
  return streams.filter(({ config }) => config.mirror !== undefined).map(stateOf);
}

/** A mirror has no subjects, by which logs are known: those of its origin count. */
function inBackupOrderWithLogs(
  streams: readonly ListedStream[],
  schema_bucket: string,
): ListedStream[] {
  const known = streams.map((stream) => ({
    ...stream,
    subjects: originOf(stream.config)?.subjects ?? stream.subjects,
  }));
  return inBackupOrder(known, schema_bucket);
}

/**
 * Makes a mirror of every stream of the first site that has none yet, and notes in each what its origin
 * is like now. Rejects with `spine-unavailable`, and when a stream of the bus here is no mirror: then a
 * bus is or was at work here.
 */
export async function syncStandby(site: StandbySite, origin: OriginSite): Promise<Synced> {
  const { own, schema_bucket } = site;
  const there = inBackupOrder(await origin.api.list(), schema_bucket);
  const here = new Map(
    inBackupOrderWithLogs(await own.list(), schema_bucket).map((one) => [one.name, one]),
  );
  const [stranger] = [...here.values()].filter(({ config }) => originOf(config) === undefined);
  if (stranger !== undefined) {
    const why = `${stranger.name} is there, and is no mirror: has a bus been at work here?`;
    throw new ArqonError("spine-unavailable", why);
  }
  const [made, updated]: [string[], string[]] = [[], []];
  for (const { name, config } of there) {
    const replicas = site.is_clustered ? Math.max(REPLICAS, config.num_replicas) : 1;
    const wanted = mirrorConfig(config, origin.domain, replicas);
    const found = here.get(name);
    if (found === undefined) {
      await own.create(wanted);
      made.push(name);
    } else if (metadataOf(found.config)[ORIGIN] !== metadataOf(wanted)[ORIGIN]) {
      await own.update({ ...found.config, ...wanted, num_replicas: found.config.num_replicas });
      updated.push(name);
    }
  }
  const names = new Set(there.map(({ name }) => name));
  const orphans = [...here.keys()].filter((name) => !names.has(name));
  return { made, updated, orphans, mirrors: await mirrorStates(site) };
}

/** Makes streams of the mirrors, so that a bus can work here. What they have not heard of is lost. */
export async function promoteStandby(site: StandbySite): Promise<MirrorState[]> {
  const { own, schema_bucket } = site;
  const promoted: MirrorState[] = [];
  for (const stream of inBackupOrderWithLogs(await own.list(), schema_bucket)) {
    const config = promotedConfig(stream.config);
    if (stream.config.mirror === undefined || config === undefined) continue;
    await own.update(config);
    promoted.push(stateOf(stream));
  }
  return promoted;
}
