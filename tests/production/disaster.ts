/**
 * A backup under load, the loss of everything behind the Ingress, and the restore of that backup into new NATS servers.
 */
import { generateX25519Identity, identityToRecipient } from "age-encryption";
import type { Link } from "./failover.ts";
import { Site } from "./site.ts";
import { arqAgain, arqDone, calm, judgeLogs, note, seconds, type Stage } from "./stage.ts";

interface Saved {
  readonly file: string;
  /** The file with the key. */
  readonly identity: string;
  /** Unix ms; the backup contains everything acknowledged before. */
  readonly begun_ms: number;
}

async function backUp(stage: Stage, site: Site): Promise<Saved> {
  const { dir } = stage.around;
  const file = `${dir}/bus.tar.age`;
  const identity_file = `${dir}/backup.key`;
  const identity = await generateX25519Identity();
  await Deno.writeTextFile(identity_file, `${identity}\n`, { mode: 0o600 });
  const config = await site.configure("backup.toml", "backup");
  const recipient = await identityToRecipient(identity);
  const began_ms = performance.now();
  const from = ["--config", config, "--recipient", recipient, "--json"];
  // Retried if a stream has no leader at that moment, as the CronJob does.
  const { begun_ms, size_bytes } = JSON.parse(await arqAgain("backup", file, ...from));
  const took_ms = performance.now() - began_ms;
  note(stage, "arq backup under load", `${seconds(took_ms)}, ${(size_bytes / 1e6).toFixed(1)} MB`);
  await arqDone("backup", "verify", file, "--identity", identity_file);
  return { file, identity: identity_file, begun_ms };
}

/** The restored site, to which the Ingress leads. */
export async function backUpAndRestore(
  stage: Stage,
  site: Site,
  link: Link,
  stack: AsyncDisposableStack,
): Promise<Site> {
  const { ingress, traffic, around, tokenFor } = stage;
  const { file, identity, begun_ms } = await backUp(stage, site);
  await calm(stage);
  const began_ms = performance.now();
  const lost_ms = await site.destroy();
  const again = stack.use(await Site.open(around, link.first));
  const config = await again.configure("restore.toml", "restore");
  const restoring_ms = performance.now();
  // The next attempt deletes the leftovers of an aborted one.
  await arqAgain("restore", file, "--identity", identity, "--config", config, "--force", "--json");
  note(stage, "arq restore", seconds(performance.now() - restoring_ms));
  await again.startBus();
  await ingress.direct(again.shield_urls);
  await traffic.acknowledgedIn();
  note(stage, "after the restore: RTO", seconds(performance.now() - began_ms));
  await judgeLogs(stage, "after the restore", { safe_ms: begun_ms, lost_ms });
  const token = await tokenFor({ tenant_id: "ops", role: "admin", sub: "root" });
  const admin_url = again.shields[0]?.ready.admin_url ?? "";
  await arqDone("audit", "verify", "--admin-url", admin_url, "--token", token);
  return again;
}
