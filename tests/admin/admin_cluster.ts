/**
 * Two Shields and a Brain on a real NATS with the accounts that the documents show, and an operator at
 * one of them, for tests of the admin API.
 */
import assert from "node:assert/strict";
import { AdminClient } from "../peers/admin_client.ts";
import { createIssuer, type Issuer, type ServerProcess, startServer } from "../harness/cluster.ts";
import { documentedAccounts } from "../harness/documented_accounts.ts";
import { startNats } from "../harness/nats_server.ts";

/** The running servers; `admin` uses `one`. */
export interface AdminCluster {
  readonly issuer: Issuer;
  readonly one: ServerProcess;
  readonly two: ServerProcess;
  readonly brain: ServerProcess;
  readonly admin: AdminClient;
}

/** Starts it, with additional configuration for the Shields; at the end no account may have lacked a permission. */
export async function withAdminCluster(
  more: string,
  work: (cluster: AdminCluster) => Promise<void>,
): Promise<void> {
  await using nats = await startNats({ jetstream: true, config: await documentedAccounts() });
  await using issuer = await createIssuer();
  const spine = (user: string) =>
    `[nats]\nurls = ["nats://${user}:secret@127.0.0.1:${nats.port}"]\n`;
  const config = spine("shield") + issuer.config + more;
  const operators = { admin_lines: 'operator_tenants = ["acme"]' };
  const start = () => startServer("shield", config, issuer.dir, "drain_ms = 0\n", operators);
  await using one = await start();
  await using two = await start();
  await using brain = await startServer("brain", spine("brain"), issuer.dir);
  const token = await issuer.tokenFor({ role: "admin", sub: "root" });
  const admin = new AdminClient(one.ready["admin_url"] ?? "", token);
  await work({ issuer, one, two, brain, admin });
  const denied = /Permissions Violation|ended a subscription|denied/i;
  for (const { log } of [one, two, brain]) assert.doesNotMatch(log(), denied);
}
