/** Alerts about the machine of a process: no files, no port, no memory, no core, no disk. */
import assert from "node:assert/strict";
import { pace } from "../../shared/testing/pace.ts";
import type { ServerProcess } from "../harness/cluster.ts";
import { mountSmallDisk, noSmallDisk } from "../harness/small_disk.ts";
import { HttpPeer } from "../peers/http_peer.ts";
import { startLocalStage } from "./local_stage.ts";
import { again, play, type Row, type Stage } from "./play.ts";
import { type ServerStage, startServerStage } from "./server_stage.ts";

/** A memory limit that a bus with 100 MiB of messages is close to. */
const MEMORY_BYTES = 268_435_456;
const LIMITS = `
[limits]
memory_bytes = ${MEMORY_BYTES}
messages_per_second = 10_000
bytes_per_second = 1_000_000_000
#constant limits.listener_probe_ms = 200
#constant limits.listener_gone_ms = 600_000
#constant limits.log_cache_bytes = 200_000_000
[[rooms]]
room = "log-*"
durable = true
`;

interface OneProcess extends ServerStage {
  readonly shield: ServerProcess;
}

/** Sets the process's limit of open files. */
async function limitFiles({ shield }: OneProcess, files: number | string): Promise<void> {
  const args = ["--pid", `${shield.pid}`, `--nofile=${files}:`];
  const { success, stderr } = await new Deno.Command("prlimit", { args }).output();
  assert(success, `prlimit (of util-linux): ${new TextDecoder().decode(stderr)}`);
}

const BUSY: readonly Row<OneProcess>[] = [{
  alert: "ArqonEventLoopLagging",
  // deno-lint-ignore require-await -- other programs have the core
  async breaks({ shield }) {
    return again(300, async () => {
      shield.signal("SIGSTOP");
      await pace(300);
      shield.signal("SIGCONT");
    });
  },
  says: /limit the tenant that causes it/,
  shows: { "arq top": /\d/ },
  stays: "on a machine whose cores others have the loop stays late",
}];

// Not beside the fault above: a process that is stopped half of the time answers too few of the scrapes.
const MEMORY: readonly Row<OneProcess>[] = [{
  alert: "ArqonMemoryHigh",
  async breaks({ url, ops_url, issuer }) {
    const data = "x".repeat(200_000);
    const client = new HttpPeer(url, await issuer.tokenFor());
    return again(10, async () => {
      const page = await (await fetch(`${ops_url}/metrics`)).text();
      // A process over its limit ends.
      if (Number(/^shield_memory_bytes (\d+)/m.exec(page)?.[1]) > 0.88 * MEMORY_BYTES) return;
      await client.call("POST", "rooms/log-1/messages", { type: "t", data });
    });
  },
  says: /drain it: a restart frees its memory/,
  shows: {
    "shield_log_cache_bytes": /\d/,
    "shield_mirror_buffered_bytes": /\d/,
    "shield_memory_guard_total": /\d/,
  },
  stays: "a restart frees its memory",
}];

const FILES: readonly Row<OneProcess>[] = [{
  alert: "ArqonFilesOut",
  async breaks(stage) {
    await limitFiles(stage, 5);
    const { port } = new URL(stage.url);
    const come = again(200, async () => {
      const stranger = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
      stranger.close();
    });
    return async () => {
      await come();
      await limitFiles(stage, 4_096);
    };
  },
  says: /raise the limit of open files/,
  shows: {
    "shield_connections": /\d/,
    "shield_strangers": /\d/,
    "arq doctor": /file limit .* open files/,
  },
}, {
  alert: "ArqonListenerGone",
  // deno-lint-ignore require-await -- the same fault
  breaks: async () => () => {},
  says: /Otherwise look for another listener on the port \(`ss -ltnp`\)/,
  shows: { "shield_listener_reopened_total": / 0$/m },
}];

Deno.test("alerts about a machine without a core, memory and files", async () => {
  await using stage = await startServerStage((issuer) => LIMITS + issuer.config);
  const shield = stage.first;
  await play({ ...stage, shield }, [BUSY, MEMORY, FILES]);
});

const FULL: readonly Row<
  Stage & { readonly disk: { fill(): Promise<void>; clear(): Promise<void> } }
>[] = [{
  alert: "ArqonStorageFull",
  async breaks({ disk }) {
    await disk.fill();
    return () => disk.clear();
  },
  says: /When a disk is full.*Restart nothing/,
  shows: {
    "/health/ready": /"storage":\{"status":"unavailable"[^}]*the disk is full/,
    "the storage takes no writes": /the disk is full/,
  },
}];

if (noSmallDisk() === undefined) {
  Deno.test("an alert about a machine with a full disk", async () => {
    await using disk = await mountSmallDisk(24);
    await using stage = await startLocalStage("", { data_dir: `${disk.folder}/data` });
    await play({ ...stage, disk }, [FULL]);
  });
}
