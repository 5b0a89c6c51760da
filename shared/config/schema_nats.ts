/** `[nats]`: the servers, and the login of a process. A part of `schema.ts`. */
import { z } from "zod";
import { NatsStorage } from "./schema_durable.ts";
import { always, count, namedFile } from "./values/schema_values.ts";

/** The ways to log in by a file; at most one of them may be given. */
const LOGIN_FILES = ["password_file", "token_file", "nkey_file", "credentials_file"] as const;

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The login in the URLs: none, a user alone (which NATS takes for a token), or both. */
function loginInUrls(urls: unknown): { user: string; has_password: boolean } | undefined {
  for (const text of Array.isArray(urls) ? urls : []) {
    if (typeof text !== "string") continue;
    const plain = text.replace(/^(nats|tls):/, "http:");
    if (!URL.canParse(plain)) continue;
    const { username, password } = new URL(plain);
    if (username !== "") return { user: decoded(username), has_password: password !== "" };
  }
  return undefined;
}

type Given = Partial<Record<(typeof LOGIN_FILES)[number] | "user", unknown>> & { urls?: unknown };

/** Refuses an incomplete login, and two logins: it would be undefined which one is used. */
function refuseHalfOrTwo(given: Given, context: z.core.$RefinementCtx): void {
  const refuse = (key: string, message: string) =>
    context.addIssue({ code: "custom", path: [key], message });
  const [first, second] = LOGIN_FILES.filter((key) => given[key] !== undefined);
  if (first !== undefined && second !== undefined) {
    refuse(second, `expected one login: ${first} is set too`);
  }
  const in_urls = loginInUrls(given.urls);
  if (given.user !== undefined && given.password_file === undefined) {
    refuse("user", "expected password_file beside it");
  }
  if (first === undefined) {
    if (given.user !== undefined && in_urls !== undefined) {
      refuse("user", "expected one login: urls hold one too");
    }
    return;
  }
  if (in_urls?.has_password === true || (in_urls !== undefined && first !== "password_file")) {
    return refuse(first, "expected one login: urls hold one too");
  }
  if (first !== "password_file") return;
  if (given.user === undefined && in_urls === undefined) {
    refuse(first, "expected user beside it, in a key or in urls");
  } else if (given.user !== undefined && in_urls !== undefined && in_urls.user !== given.user) {
    refuse("user", "expected one user: urls hold another");
  }
}

/** `[nats]`; without this table the embedded Spine runs. */
export const Nats = z.strictObject({
  urls: z.array(
    z.string().regex(/^(nats|tls):\/\/[^\s]+$/, {
      error: 'expected a URL such as "nats://127.0.0.1:4222"',
    }),
  ).min(1).describe("servers to connect to; without this table the embedded Spine runs"),
  user: z.string().min(1).optional().describe(
    "the user of password_file; urls may have it instead",
  ),
  password_file: namedFile("file with the password of user"),
  token_file: namedFile("file with a token, instead of user and password"),
  nkey_file: namedFile("file with the seed of a user's nkey (SU…), instead of a password"),
  credentials_file: namedFile("NATS .creds file, with a JWT and its seed"),
  tls_ca_file: namedFile("PEM of the authority that signed the server's certificate"),
  tls_cert_file: namedFile("PEM certificate chain that this process shows the server"),
  tls_key_file: namedFile("PEM private key of tls_cert_file"),
  request_timeout_ms: count(
    2_000,
    600_000,
    "timeout of flushes and key-value operations; opening a bucket at the start: 30 s",
  ),
  api: z.boolean().default(false).describe(
    "answer backends that ask by NATS on api.t.{tenant}.r.{room}.publish, .history and .command",
  ),
  ...NatsStorage,
}).superRefine(refuseHalfOrTwo, always)
  .refine((nats) => nats.tls_cert_file === undefined || nats.tls_key_file !== undefined, {
    error: "tls_cert_file is set without tls_key_file; expected both or neither",
    path: ["tls_cert_file"],
    ...always,
  }).refine((nats) => nats.tls_key_file === undefined || nats.tls_cert_file !== undefined, {
    error: "tls_key_file is set without tls_cert_file; expected both or neither",
    path: ["tls_key_file"],
    ...always,
  });
