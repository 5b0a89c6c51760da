/**
 * Two Shields and two Brains on a real NATS with exactly the accounts that we ship, each logged in as its own user, and
 * every feature enabled that uses NATS.
 */
import { connect as connectSdk, type Connection } from "@arqon/sdk";
import { createIssuer, type Issuer, type ServerProcess, startServer } from "../harness/cluster.ts";
import { shippedAccounts } from "../harness/documented_accounts.ts";
import { type NatsServer, startNats } from "../harness/nats_server.ts";
import { Receiver, SECRET } from "../hooks/receiver.ts";
import { AdminClient } from "../peers/admin_client.ts";
import { HttpPeer } from "../peers/http_peer.ts";
import { secretFile } from "../../shared/config/testing/secret_file.ts";
import { durableRooms } from "../../shared/testing/room_classes.ts";

const built = new URL("../../policies/build/reducers/counter.wasm", import.meta.url).pathname;

/** The running servers, and their addresses. */
export interface AccountsWorld {
  readonly nats: NatsServer;
  readonly issuer: Issuer;
  readonly shields: readonly [ServerProcess, ServerProcess];
  readonly brains: readonly [ServerProcess, ServerProcess];
  readonly receiver: Receiver;
  /** The URL of NATS for a user, with its password. */
  natsUrl(user: string): string;
  /** `http://host:port` of a Shield's client listener. */
  url(at: 0 | 1): string;
  peer(at: 0 | 1, claims?: Record<string, unknown>): Promise<HttpPeer>;
  admin(at: 0 | 1): Promise<AdminClient>;
  connect(at: 0 | 1, sub: string): Promise<Connection>;
}

const tables = (hook_url: string) => `
[presence]
#constant presence.heartbeat_ms = 200
#constant presence.down_ms = 2_000
#constant presence.brain_timeout_ms = 900
[webhooks]
private_hosts = ["127.0.0.1"]
#constant webhooks.survey_ms = 500
[[hooks]]
id = "told"
tenant = "acme"
url = "${hook_url}"
room = "hooked-*"
events = ["room.message", "member.joined", "member.left"]
secret_file = "${secretFile(SECRET)}"
[[reducers]]
name = "counter"
file = "${built}"
#constant reducers.snapshot_entries = 4
${durableRooms("kept-*", 'journal = "all"')}
${durableRooms("logged-*")}
${durableRooms("few-*", "history_size = 2")}
${durableRooms("hooked-*", 'membership = "journal"')}
[[rooms]]
room = "stage-*"
membership = "journal"
${durableRooms("count-*", 'reducer = "counter"')}
${durableRooms("own-*", 'tenant = "globex"')}
[brain]
tap = true
# Tenants without classes of their own share streams, as in the shipped configuration.
[durable]
shared_streams = 2
shared_bytes = 16_777_216
log_bytes = 8_388_608
[usage]
enabled = true
[ledger]
store = true
#constant ledger.flush_ms = 100
[journal]
journal = "all"
#constant journal.flush_ms = 50
`;

/** Starts it, and stops it after `work`. */
export async function withAccounts(work: (world: AccountsWorld) => Promise<void>): Promise<void> {
  await using nats = await startNats({ jetstream: true, config: await shippedAccounts() });
  await using receiver = new Receiver();
  await using issuer = await createIssuer();
  const natsUrl = (user: string) => nats.url.replace("nats://", `nats://${user}:secret@`);
  const start = (part: "shield" | "brain", at: number) => {
    const api = part === "shield" ? "api = true\n" : "";
    const spine = `[nats]\nurls = ["${natsUrl(part)}"]\n${api}`;
    const config = `${spine}${tables(receiver.url)}${issuer.config}`;
    return startServer(part, config, issuer.dir, `node_id = "${part}-${at}"\ndrain_ms = 500\n`);
  };
  await using first = await start("brain", 0);
  await using second = await start("brain", 1);
  await using one = await start("shield", 0);
  await using two = await start("shield", 1);
  const shields = [one, two] as const;
  const url = (at: 0 | 1) => new URL(shields[at].ready["url"] ?? "").origin.replace(/^ws/, "http");
  await work({
    nats,
    issuer,
    shields,
    receiver,
    natsUrl,
    url,
    brains: [first, second],
    peer: async (at, claims) => new HttpPeer(url(at), await issuer.tokenFor(claims)),
    admin: async (at) => {
      const token = await issuer.tokenFor({ role: "admin", sub: "root" });
      return new AdminClient(shields[at].ready["admin_url"] ?? "", token);
    },
    connect: async (at, sub) => {
      const token = await issuer.tokenFor({ sub });
      return await connectSdk({ url: `${url(at)}/v1/socket`.replace("http", "ws"), token });
    },
  });
}
