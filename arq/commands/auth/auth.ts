/**
 * `arq auth`: makes key pairs and tokens, and lists revocations. A token is signed with the key of `--key`, else with
 * the key of the bus that other commands use here, else with the development key.
 */
import { cannotWrite, type CommandError, failed, usageError } from "../../terminal/exit.ts";
import { type Ended, type Io, resolvePath } from "../../terminal/io.ts";
import { newKeyPair, parsePrivateKey, signToken } from "../../bus/token.ts";
import type { Flags } from "../../program/flags.ts";
import { idProblem } from "@arqon/proto";
import { DEV_AUDIENCE, DEV_ISSUER, DEV_TENANT, findDevKey } from "../../bus/dev_bus.ts";
import { findTarget } from "../../bus/target.ts";
import { filled, listOf, type Members, membersOf } from "../../answers/policy_text.ts";
import { readText } from "../../terminal/input.ts";
import { time } from "../../answers/figures.ts";

const PRIVATE_NAME = "arqon-private.jwk.json";
const PUBLIC_NAME = "arqon-jwks.json";

async function create(io: Io, path: string, value: unknown, mode: number): Promise<void> {
  try {
    await io.files.create(path, `${JSON.stringify(value, undefined, 2)}\n`, mode);
  } catch (error) {
    if (error instanceof Error && error.name === "AlreadyExists") {
      throw failed(`${path} exists already`, "name another folder with --out");
    }
    throw cannotWrite(path, error);
  }
}

/** Writes both key files and prints what to do with them. */
export async function authKeys(io: Io, flags: Flags<"alg" | "out">): Promise<Ended> {
  const folder = resolvePath(io.cwd, flags.out).replace(/\/+$/, "");
  const { private_jwk, public_jwk } = await newKeyPair(flags.alg);
  const private_key = `${folder}/${PRIVATE_NAME}`;
  const jwks = `${folder}/${PUBLIC_NAME}`;
  await io.files.makeDirectory(folder).catch((error: unknown) => {
    throw cannotWrite(folder, error);
  });
  await create(io, private_key, private_jwk, 0o600);
  await create(io, jwks, { keys: [public_jwk] }, 0o644);
  const json = { private_key, jwks, kid: public_jwk.kid, alg: flags.alg };
  const text = `private key  ${private_key}   keep it with your token server, mode 0600
public set   ${jwks}   give it to the bus:

[[auth.issuers]]
issuer = "https://issuer.example"
audience = "arqon"
jwks_file = ${JSON.stringify(jwks)}
algorithms = [${JSON.stringify(flags.alg)}]
tenants = ["default"]
roles = ["user"]

A token: arq auth gen --key ${private_key} --issuer https://issuer.example --audience arqon
`;
  return { json, text };
}

interface Signer {
  text: string;
  where: string;
  issuer: string;
  audience: string;
  tenant?: string | undefined;
}

async function givenKey(io: Io, path: string, flags: Flags<"role" | "ttl">): Promise<Signer> {
  const { issuer, audience } = flags;
  if (issuer === undefined || audience === undefined) {
    throw usageError(
      "--key needs --issuer and --audience",
      "they are in the [[auth.issuers]] entry of the bus that has the key's public part",
    );
  }
  return { text: await readText(io, path), where: resolvePath(io.cwd, path), issuer, audience };
}

/** Key and claims of the bus that commands use here, else of the next development bus. */
async function ownSigner(io: Io, flags: Flags<"role" | "ttl">): Promise<Signer> {
  const target = await findTarget(io, flags);
  if (target !== undefined) {
    const { signing, tenant, context } = target;
    if (signing === undefined) throw noKey(context?.name ?? "");
    const { issuer = signing.issuer, audience = signing.audience } = flags;
    return { ...await givenKey(io, signing.key, { ...flags, issuer, audience }), tenant };
  }
  const found = await findDevKey(io);
  if (found === undefined) {
    throw failed(
      `no key: no --key is given and there is no development key in ${io.state_dirs.join(", ")}`,
      "start a bus once with `arq dev up`, or make a key with `arq auth keys` and give it with --key",
    );
  }
  return {
    text: found.text,
    where: found.path,
    issuer: flags.issuer ?? DEV_ISSUER,
    audience: flags.audience ?? DEV_AUDIENCE,
  };
}

/** The error for a bus without a key; a token signed with another bus's key would be refused. */
function noKey(name: string): CommandError {
  return failed(
    `context ${name} has no key to sign with`,
    `arq context add ${name} --update --key FILE --issuer … --audience …; ` +
      "--context dev takes the key of the running development bus",
  );
}

/** Prints the token on stdout, and nothing else. */
export async function authGen(io: Io, flags: Flags<"role" | "ttl">): Promise<Ended> {
  const problem = idProblem(flags.tenant || DEV_TENANT);
  if (problem !== undefined) throw usageError(`--tenant: ${problem}`);
  const user = flags.user ?? `dev-${flags.role}`;
  if (user === "" || new TextEncoder().encode(user).length > 128) {
    throw usageError("--user: expected 1 to 128 bytes");
  }
  const signer = flags.key === undefined
    ? await ownSigner(io, flags)
    : await givenKey(io, flags.key, flags);
  const tenant = flags.tenant || signer.tenant || DEV_TENANT;
  const { text, where, issuer, audience } = signer;
  const claims = { issuer, audience, tenant, user, role: flags.role, grants: flags.grant };
  const key = parsePrivateKey(text, where);
  const token = await signToken(key, { ...claims, ttl_seconds: flags.ttl }, io.now());
  const expires = time(io.now() + flags.ttl * 1_000);
  const report = { token, issuer, tenant, user, role: flags.role, expires };
  return { json: report, text: `${token}\n` };
}

const OF_USER = "tokens of user {id} issued before {issued_before_ms}";
const ALL = "all tokens issued before {issued_before_ms}";

/** The tokens that a revocation concerns, and until when. */
function aboutText(revocation: Members): string {
  const { kind, until_ms } = revocation;
  const tokens = kind === "token" ? "token {id}" : kind === "user" ? OF_USER : ALL;
  return filled(`${tokens}, ${until_ms === 0 ? "for good" : "until {until_ms}"}`, revocation);
}

/** The text of `arq auth revoke`. */
export const revokedText = ({ revocation }: Members, { tenant }: Members): string =>
  `revoked in tenant ${tenant}: ${aboutText(membersOf(revocation))}\n`;

/** The text of `arq auth revocations`. */
export function revocationsText({ revocations, truncated }: Members): string {
  const lines = listOf(revocations).map(membersOf).map((one) =>
    filled("{tenant}  {about}, by {by}[: {reason}]\n", { ...one, about: aboutText(one) })
  );
  return (lines.join("") || "nothing is revoked\n") + (truncated === true ? "… and more\n" : "");
}
