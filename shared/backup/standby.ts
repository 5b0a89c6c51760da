/**
 * A second site: mirrors of the bus's streams on other NATS servers, and their promotion to the streams of a bus once
 * the first site is lost. The servers copy; this creates the mirrors, and stores in each the configuration of its
 * origin. No automatic failover: an operator decides that a site is lost.
 */
import { ArqonError } from "@arqon/proto";
import type { ListedStream, RawConfig, StreamApi } from "./stream_api.ts";
import { inBackupOrder } from "./stream_order.ts";

/** The metadata of a mirror with its origin's configuration, as JSON. */
const ORIGIN = "arqon-origin";

/** The second site's servers. */
export interface StandbySite {
  readonly own: StreamApi;
  readonly is_clustered: boolean;
  /** Of `[platform.registry] kv_bucket`. */
  readonly schema_bucket: string;
}

/** The first site. */
interface OriginSite {
  readonly api: StreamApi;
  readonly domain: string;
}

/** Replicas of a mirror in a cluster, unless its origin has more: the first site may be a single server. */
const REPLICAS = 3;

/** The progress of a mirror. */
export interface MirrorState {
  readonly name: string;
  /** Messages behind the origin, as last reported by the second site; null: unknown. */
  readonly lag: number | null;
  readonly last_sequence: number;
}

interface Synced {
  readonly made: readonly string[];
  /** The origin's configuration has changed. */
  readonly updated: readonly string[];
  /** The origin was deleted; the copies are kept. */
  readonly orphans: readonly string[];
  readonly mirrors: readonly MirrorState[];
}

const metadataOf = ({ metadata }: RawConfig): Readonly<Record<string, string>> =>
  (metadata ?? {}) as Record<string, string>;

/** The metadata without what the server itself adds. */
const withoutServers = (metadata: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(metadata).filter(([key]) => !key.startsWith("_nats.")));

/** The origin's configuration stored in a mirror; undefined for any other stream. */
function originOf(config: RawConfig): RawConfig | undefined {
  const text = metadataOf(config)[ORIGIN];
  return text === undefined ? undefined : JSON.parse(text);
}

/** The configuration of a mirror. It retains what its origin retains; it accepts no messages itself. */
function mirrorConfig(origin: RawConfig, domain: string, num_replicas: number): RawConfig {
  const kept = { ...origin, metadata: withoutServers(metadataOf(origin)) };
  const { name, max_msgs_per_subject, max_age, max_bytes, allow_msg_ttl } = origin;
  return {
    name,
    retention: "limits",
    storage: "file",
    // A mirror that refuses what its origin accepted would stall.
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

/** The configuration of a promoted mirror: that of its origin, on these servers. */
function promotedConfig(mirror: RawConfig): RawConfig | undefined {
  const origin = originOf(mirror);
  return origin === undefined ? undefined : { ...origin, num_replicas: mirror.num_replicas };
}

const stateOf = ({ name, mirror, state }: ListedStream): MirrorState => ({
  name,
  lag: mirror === undefined || mirror.active < 0 ? null : mirror.lag,
  last_sequence: state.last_seq,
});

/** The progress of the mirrors. */
export async function mirrorStates({ own, schema_bucket }: StandbySite): Promise<MirrorState[]> {
  const streams = inBackupOrderWithLogs(await own.list(), schema_bucket);
  return streams.filter(({ config }) => config.mirror !== undefined).map(stateOf);
}

/** A mirror has no subjects, which identify logs: its origin's subjects are used. */
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
 * Creates a mirror of every stream of the first site that has none, and stores the origin's current configuration in
 * each. Rejects with `spine-unavailable`, and if a stream of the bus here is no mirror: then a bus runs or ran here.
 */
export async function syncStandby(site: StandbySite, origin: OriginSite): Promise<Synced> {
  const { own, schema_bucket } = site;
  const there = inBackupOrder(await origin.api.list(), schema_bucket);
  const here = new Map(
    inBackupOrderWithLogs(await own.list(), schema_bucket).map((one) => [one.name, one]),
  );
  const [stranger] = [...here.values()].filter(({ config }) => originOf(config) === undefined);
  if (stranger !== undefined) {
    const why = `${stranger.name} exists and is not a mirror: a bus may have run here`;
    throw new ArqonError("spine-unavailable", why);
  }
  const made: string[] = [];
  const updated: string[] = [];
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

/** Promotes the mirrors to streams, so that a bus can run here. Messages that were not mirrored are lost. */
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
