/** A NATS server with the documented accounts, and Shields on it whose rooms have public trees. */
import { createIssuer, startServer } from "../harness/cluster.ts";
import type { ServerProcess } from "../harness/cluster.ts";
import { documentedAccounts } from "../harness/documented_accounts.ts";
import { startNats } from "../harness/nats_server.ts";

/** Of a Shield's configuration. */
export const ROOMS = `
[[rooms]]
room = "*"
durable = true
proof = true
proof_public = true
`;

/** Of the tests here. */
export const TREE = "acme.bets";

/** What a Shield is asked at. */
export const placeOf = ({ ready }: ServerProcess, token: string) => ({
  token,
  url: ready.url ?? "",
  admin_url: ready.admin_url ?? "",
  http_url: new URL(ready.url ?? "").origin.replace(/^ws/, "http"),
});

/** The NATS of one test, with what starts Shields on it, which end before it. */
export async function natsWorld(more: string) {
  const nats = await startNats({ jetstream: true, config: await documentedAccounts() });
  const issuer = await createIssuer();
  const as = (user: string) => `[nats]\nurls = ["nats://${user}:secret@127.0.0.1:${nats.port}"]\n`;
  const started: ServerProcess[] = [];
  return {
    issuer,
    as,
    log: () => started.map((one) => one.log()).join("\n"),
    token: await issuer.tokenFor({ role: "service" }),
    admin: await issuer.tokenFor({ role: "admin" }),
    async start(name: string, config = more) {
      const whole = `${as("shield")}${issuer.config}${config}`;
      const shield = await startServer("shield", whole, issuer.dir, `node_id = "${name}"`);
      started.push(shield);
      return shield;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(started.map((shield) => shield.stop("SIGKILL")));
      await nats[Symbol.asyncDispose]();
      await Deno.remove(issuer.dir, { recursive: true });
    },
  };
}
