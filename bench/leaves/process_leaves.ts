/** Leaves of the admission of a message or a client: rates, tokens, metered policies. */
import { exportSPKI, generateKeyPair, SignJWT } from "@panva/jose";
import { configFrom } from "../../shared/config/load.ts";
import { createLogger } from "../../shared/logs/log.ts";
import { Registry } from "../../shared/metrics/metrics.ts";
import { createAuthenticator } from "../../shield/auth/authenticate.ts";
import { instantiateGuest } from "../../shield/policy/abi/host_abi.ts";
import { meter } from "../../wasm/metering/meter.ts";
import { RateTable } from "../../shield/rates/rates.ts";
import { chatPayload, example } from "../policy/policy_rows.ts";
import { kept, type Leaf, type LeafRun } from "./leaf.ts";
import { ANN, NOW_MS } from "./path_leaves.ts";

const PAGES = 64;
/** Fuel for the policy `bad_words` over 4 KiB, enough for any version of it. */
const FUEL = 1_000_000;

function rateTaken(): LeafRun {
  const { limits } = configFrom({});
  const rates = new RateTable(limits, new Registry(), NOW_MS).open(ANN, NOW_MS);
  let now_ms = NOW_MS;
  return (times) => {
    for (let index = 0; index < times; index++) {
      // The clock advances by a second, so that the limit allows more.
      kept.value = rates.take(256, now_ms += 1_000);
    }
  };
}

async function tokensKnown(): Promise<LeafRun> {
  const { publicKey, privateKey } = await generateKeyPair("RS256", { extractable: true });
  const pem = await exportSPKI(publicKey);
  const roles = ["user"];
  const issuer = { issuer: "bench", audience: "arqon", pem_file: "key.pem", tenants: ["*"], roles };
  const { auth, limits } = configFrom({ auth: { issuers: [issuer] } });
  const now = () => NOW_MS;
  const write = (line: string) => {
    throw new Error(`a leaf is not to log anything: ${line}`);
  };
  const log = createLogger({ level: "warn", format: "logfmt", component: "auth", now, write });
  const readTextFile = () => pem;
  const registry = new Registry();
  const clocks = { now, monotonic_ms: now };
  const process = { auth, limits, readTextFile, ...clocks, fetch, log, registry };
  const authenticator = await createAuthenticator(process);
  const token = await new SignJWT({ tenant_id: "acme", role: "user", sub: "ann" })
    .setProtectedHeader({ alg: "RS256" }).setIssuer("bench").setAudience("arqon")
    .setExpirationTime(NOW_MS / 1_000 + 3_600).sign(privateKey);
  return async (times) => {
    for (let index = 0; index < times; index++) {
      kept.value = await authenticator.authenticate(token);
    }
  };
}

/** A leaf that meters `times` KiB, in whole modules; one KiB of a module is one operation. */
async function metered(name: string): Promise<LeafRun> {
  const bytes = await example(name);
  return (times) => {
    for (let kib = 0; kib < times; kib += bytes.length / 1_024) {
      kept.value = meter(bytes, { memory_limit_pages: PAGES });
    }
  };
}

/** Units of a policy for a message. They depend only on the code and the prices. */
async function unitsOf(name: string, payload_bytes: number): Promise<number> {
  const { bytes } = meter(await example(name), { memory_limit_pages: PAGES });
  const guest = instantiateGuest({ compiled: new WebAssembly.Module(bytes) });
  const payload = chatPayload(payload_bytes);
  const request = { payload, header: () => undefined, claim: () => undefined };
  const { allowed, units, detail } = guest.call("on_message", request, FUEL);
  if (!allowed) throw new Error(`${name} refused a clean message: ${detail}`);
  return units;
}

/** The leaves of this file, in the order of a message. */
export const PROCESS_LEAVES: readonly Leaf[] = [
  { name: "token known", unit: "B", times: 5_000, open: tokensKnown },
  { name: "rate taken", unit: "B", times: 20_000, open: rateTaken },
  { name: "meter 1 KiB of bad_words", unit: "B", times: 300, open: () => metered("bad_words") },
  { name: "meter 1 KiB of rate_limit", unit: "B", times: 60, open: () => metered("rate_limit") },
  { name: "fuel of bad_words over 200 B", unit: "units", count: () => unitsOf("bad_words", 200) },
  { name: "fuel of bad_words over 4 KiB", unit: "units", count: () => unitsOf("bad_words", 4_096) },
  {
    name: "fuel of bad_words_rust over 4 KiB",
    unit: "units",
    count: () => unitsOf("bad_words_rust", 4_096),
  },
];
