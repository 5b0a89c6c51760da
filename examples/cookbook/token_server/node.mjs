/** A token server in Node: a logged-in user gets a token for 15 minutes. Needs `npm install jose`. */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { argv } from "node:process";
import { importJWK, SignJWT } from "jose";

const [key_file, port = "8080"] = argv.slice(2);
const jwk = JSON.parse(await readFile(key_file, "utf8"));
const key = await importJWK(jwk, jwk.alg);

/** Your sessions, by the value of their cookie. */
const SESSIONS = new Map([["s-ann", "ann"], ["s-bob", "bob"]]);

function userOf({ headers }) {
  const [, session] = /(?:^|;\s*)session=([^;]*)/.exec(headers.cookie ?? "") ?? [];
  return SESSIONS.get(session);
}

function tokenFor(user) {
  return new SignJWT({
    tenant_id: "acme",
    role: "user",
    grants: [
      { room: "chat-*", actions: ["publish", "subscribe", "presence"] },
      { room: `inbox-${user}`, actions: ["subscribe"] },
    ],
  })
    .setProtectedHeader({ alg: jwk.alg, kid: jwk.kid })
    .setIssuer("https://app.example.com")
    .setAudience("arqon")
    .setSubject(user)
    .setIssuedAt()
    .setExpirationTime("15m")
    .sign(key);
}

const server = createServer(async (request, response) => {
  const user = userOf(request);
  if (request.method !== "POST") response.writeHead(405).end();
  else if (user === undefined) response.writeHead(401).end();
  else response.writeHead(200, { "cache-control": "no-store" }).end(await tokenFor(user));
});
server.listen(Number(port), "127.0.0.1", () => console.log(server.address().port));
