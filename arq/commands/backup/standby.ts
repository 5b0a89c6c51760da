/**
 * `arq standby sync|status|promote`: keeps the NATS of a second site as a copy of the first site's, and makes it the
 * NATS of a bus when the first site is lost.
 */
import { mirrorStates, promoteStandby, syncStandby } from "../../../shared/backup/standby.ts";
import type { MirrorState, StandbySite } from "../../../shared/backup/standby.ts";
import { StreamApi } from "../../../shared/backup/stream_api.ts";
import { plural } from "../../../shared/plural.ts";
import { findPlace, type OpenNats, openNats, type Place } from "../../backup/backup_place.ts";
import { EXIT, failed, printable, usageError } from "../../terminal/exit.ts";
import type { Ended, Io } from "../../terminal/io.ts";
import type { Flags } from "../../program/flags.ts";

async function natsPlace(io: Io, flags: Flags): Promise<Place> {
  const place = await findPlace(io, flags.config);
  if (place === undefined) {
    throw usageError(
      "no NATS: there is no config.toml here",
      "--config FILE names one with [nats]",
    );
  }
  if (place.engine === "nats") return place;
  throw failed(`${place.config_file} has no [nats]`, "a copy is of NATS");
}

const siteOf = ({ api: own, is_clustered }: OpenNats, { config }: Place): StandbySite => ({
  own,
  is_clustered,
  schema_bucket: config.platform.registry.kv_bucket,
});

const lines = (mirrors: readonly MirrorState[]) =>
  mirrors.map(({ name, lag, last_sequence }) => {
    const behind = lag === null ? "no message yet" : `${plural(lag, "message")} behind`;
    return `  ${printable(name)}  up to ${last_sequence}, ${behind}\n`;
  }).join("");

/** Creates the missing mirrors. */
export async function standbySync(io: Io, flags: Flags<"domain">): Promise<Ended> {
  const place = await natsPlace(io, flags);
  await using nats = await openNats(io, place);
  const { domain } = flags;
  const api = new StreamApi(nats.connection, domain);
  const synced = await syncStandby(siteOf(nats, place), { api, domain });
  const { made, updated, orphans, mirrors } = synced;
  const gone = orphans.length === 0 ? "" : `the origin was deleted: ${orphans.join(", ")}\n`;
  const counts = `${made.length} new, ${updated.length} brought up to date\n`;
  const text = `${plural(mirrors.length, "mirror")}, ${counts}${gone}${lines(mirrors)}`;
  return { json: synced, text };
}

/** Prints the lag of each mirror. */
export async function standbyStatus(io: Io, flags: Flags): Promise<Ended> {
  const place = await natsPlace(io, flags);
  await using nats = await openNats(io, place);
  const mirrors = await mirrorStates(siteOf(nats, place));
  return {
    json: { mirrors },
    text: `${plural(mirrors.length, "mirror")}\n${lines(mirrors)}`,
    code: mirrors.length > 0 ? EXIT.ok : EXIT.failure,
  };
}

/** Converts the mirrors to independent streams. */
export async function standbyPromote(io: Io, flags: Flags): Promise<Ended> {
  const place = await natsPlace(io, flags);
  await using nats = await openNats(io, place);
  const promoted = await promoteStandby(siteOf(nats, place));
  if (promoted.length === 0) {
    throw failed(`there is no mirror in ${place.title}`, "arq standby sync");
  }
  const text = `${plural(promoted.length, "stream")} of ${place.title} take messages now\n` +
    lines(promoted) +
    "Shields and Brains may be started here; the first site's must not be started again\n";
  return { json: { promoted }, text };
}
