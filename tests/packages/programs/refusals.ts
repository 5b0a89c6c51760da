/**
 * Attempts to connect that fail, and how long each takes: `refusals.ts WHAT URL TOKEN [ADMIN]`. Not a test: prints its
 * observations, one JSON value per line. WHAT is `connect`, `banned` (bans its own user for 5 s with the token ADMIN),
 * or `restart`: prints `open`, loses the bus, and prints its attempts once it has reconnected.
 */
import process from "node:process";
import { ArqonError, connect } from "@arqon/sdk";

const BAN_MS = 5_000;
const [what, url = "", token = "", admin = ""] = process.argv.slice(2);
const tell = (seen: unknown) => console.log(JSON.stringify(seen));

async function attempt(): Promise<void> {
  const begun_ms = performance.now();
  const error = await connect({ url, token }).catch((error) => error);
  const reason = error instanceof ArqonError ? error.reason : String(error);
  tell({ reason, took_ms: performance.now() - begun_ms });
}

async function banned(): Promise<void> {
  const moderator = await connect({ url, token: admin });
  const bus = await connect({ url, token });
  await moderator.room("lobby").ban(bus.welcome.user_id, { ttl_ms: BAN_MS });
  // From here on the Shield knows the ban.
  await bus.closed;
  await attempt();
  await moderator.close();
}

async function restart(): Promise<void> {
  const took_ms: number[] = [];
  let begun_ms = 0;
  const { promise: again, resolve } = Promise.withResolvers<void>();
  const bus = await connect({
    url,
    token,
    backoff: { base_ms: 100, max_ms: 100 },
    onStatus({ state }) {
      if (state === "connecting") begun_ms = performance.now();
      if (state === "waiting" && begun_ms > 0) took_ms.push(performance.now() - begun_ms);
      if (state !== "connecting") begun_ms = 0;
      if (state === "open" && took_ms.length > 0) resolve();
    },
  });
  tell("open");
  await again;
  tell(took_ms);
  await bus.close();
}

await (what === "restart" ? restart() : what === "banned" ? banned() : attempt());
