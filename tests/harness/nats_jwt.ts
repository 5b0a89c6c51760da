/**
 * An operator, an account and users of NATS, signed as `nsc` signs them, for tests of .creds files: configuration of
 * the server, and credentials that expire when a test wants it.
 */
import { nkeys } from "@nats-io/nats-core";

type Pair = ReturnType<typeof nkeys.createUser>;

/** One account of one operator. */
export interface NatsOperator {
  /** Lines for the server's configuration. */
  readonly config: string;
  /** The text of a .creds file of a new user; `ends_seconds` is Unix time, absent: never. */
  credentials(name: string, ends_seconds?: number): string;
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const encoded = (value: unknown) =>
  new TextEncoder().encode(JSON.stringify(value)).toBase64({
    alphabet: "base64url",
    omitPadding: true,
  });

function jwt(issuer: Pair, subject: Pair, name: string, nats: object, more: object = {}): string {
  const head = encoded({ typ: "JWT", alg: "ed25519-nkey" });
  const body = encoded({
    jti: crypto.randomUUID(),
    iat: Math.floor(Date.now() / 1_000),
    iss: issuer.getPublicKey(),
    sub: subject.getPublicKey(),
    name,
    nats: { version: 2, ...nats },
    ...more,
  });
  const signature = issuer.sign(new TextEncoder().encode(`${head}.${body}`));
  return `${head}.${body}.${signature.toBase64({ alphabet: "base64url", omitPadding: true })}`;
}

/** A new operator with one account, which may use JetStream. */
export function createNatsOperator(): NatsOperator {
  const operator = nkeys.createOperator();
  const account = nkeys.createAccount();
  const no_limits = { subs: -1, data: -1, payload: -1 };
  const limits = {
    ...no_limits,
    imports: -1,
    exports: -1,
    wildcards: true,
    conn: -1,
    leaf: -1,
    mem_storage: -1,
    disk_storage: -1,
    streams: -1,
    consumer: -1,
  };
  const operator_jwt = jwt(operator, operator, "operator", { type: "operator" });
  const account_jwt = jwt(operator, account, "account", { type: "account", limits });
  return {
    config: `operator: ${JSON.stringify(operator_jwt)}
resolver: MEMORY
resolver_preload { ${account.getPublicKey()}: ${JSON.stringify(account_jwt)} }
`,
    credentials(name, ends_seconds) {
      const user = nkeys.createUser();
      const more = ends_seconds === undefined ? {} : { exp: ends_seconds };
      const user_jwt = jwt(account, user, name, { type: "user", ...no_limits }, more);
      return `-----BEGIN NATS USER JWT-----
${user_jwt}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
${text(user.getSeed())}
------END USER NKEY SEED------
`;
    },
  };
}
