/**
 * The backup capability of a Shield: `GET /v1/backup` of the admin listener, a snapshot of the whole embedded Spine, as
 * the archive that `arq backup` writes. For operators only, since it has every tenant's data. With NATS the server has
 * the state, and this route has nothing to return.
 */
import type { Capability } from "../capability.ts";
import { ArqonError } from "@arqon/proto";
import { packBackup } from "../../shared/backup/archive.ts";
import { embeddedParts } from "../../shared/backup/embedded_parts.ts";
import { BACKUP_FORMAT } from "../../shared/backup/manifest.ts";
import type { Env } from "../../shared/env.ts";
import { type Registry, scraped } from "../../shared/metrics/metrics.ts";
import type { Spine, SpineBackup } from "../../shared/spine/contract/spine.ts";
import { slice, STRANGERS } from "../../shared/turns/slices.ts";
import { type AdminCall, AdminTable } from "../admin/routing/admin_routes.ts";

/** What a backup needs of the process. */
interface BackupStart extends Pick<Env, "log" | "node_id" | "now"> {
  readonly spine: Pick<Spine, "backup">;
  readonly version: string;
}

interface BackupContext extends BackupStart {
  readonly counts: { done: number; failed: number };
  open: SpineBackup | undefined;
}

/** The routes of backups. */
export const BACKUP_ROUTES = new AdminTable<BackupContext>("backup", {
  "GET /v1/backup": {
    audit: { read: "bus.backup" },
    id: "downloadBackup",
    summary: "downloads a consistent snapshot of the embedded Spine, in the format of arq backup",
    answer: { type: "string", format: "binary" },
    type: "application/x-tar",
    refusals: [429, 503],
    scope: "bus",
    handle: download,
  },
});

const ELSEWHERE =
  "this bus keeps its state in NATS; arq backup --config FILE reads it there, with " +
  "the [nats] of that file";

function download(context: BackupContext, { by }: AdminCall): Response {
  const { spine, node_id, version, now, log } = context;
  const backup = spine.backup?.();
  if (backup === undefined) throw new ArqonError("invalid-settings", ELSEWHERE);
  context.open = backup;
  const head = {
    format: BACKUP_FORMAT,
    version,
    engine: "embedded",
    begun_ms: backup.taken_ms,
    node_id,
  } as const;
  const size_bytes = backup.files.reduce((total, file) => total + file.size_bytes, 0);
  log.info("a backup is being read", { by, size_bytes });
  const onEnd = (outcome: "done" | "failed", error?: unknown) => {
    backup.release();
    if (context.open !== backup) return;
    context.open = undefined;
    context.counts[outcome]++;
    if (outcome === "done") log.info("a backup was read to its end", { by });
    else log.warn("a backup was not read to its end", { by, error });
  };
  const stream = streamOf(packBackup(head, embeddedParts(backup), { now }), onEnd);
  const headers = {
    "content-type": "application/x-tar",
    "x-arqon-backup-bytes": String(size_bytes),
  };
  return new Response(stream, { headers });
}

/** The bytes of the backup on demand; `onEnd` is also called when the reader disconnects before the first of them. */
function streamOf(
  bytes: AsyncGenerator<Uint8Array>,
  onEnd: (outcome: "done" | "failed", error?: unknown) => void,
): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      try {
        // A fast reader asks again within the turn.
        await slice(STRANGERS);
        const { done, value } = await bytes.next();
        if (done !== true) return controller.enqueue(value);
        onEnd("done");
        controller.close();
      } catch (error) {
        onEnd("failed", error);
        controller.error(error);
      }
    },
    async cancel(reason) {
      onEnd("failed", reason);
      await bytes.return(undefined);
    },
  }, { highWaterMark: 1 });
}

/** Creates the context of the routes, and registers the metrics of backups. */
export function openBackups(start: BackupStart & { readonly registry: Registry }): BackupContext {
  const context: BackupContext = { ...start, counts: { done: 0, failed: 0 }, open: undefined };
  scraped(start.registry, {
    "shield_backups_total": [
      "Backups of the embedded Spine, by how their reading ended.",
      "outcome",
      () => ({ ...context.counts }),
    ],
    "shield_backup_waiting_bytes": [
      "Bytes that the embedded Spine has written aside since the running backup began.",
      () => context.open?.waiting_bytes() ?? 0,
    ],
  });
  return context;
}

/** The capability, for a Shield's list. */
export const BACKUP: Capability = {
  name: "backup",
  title: "backups of an embedded bus",
  admin: { tables: [BACKUP_ROUTES], tags: { backup: "backups of an embedded bus" } },
  start: (env, { node_id }) => ({ routes: BACKUP_ROUTES.serve(openBackups({ ...env, node_id })) }),
};
