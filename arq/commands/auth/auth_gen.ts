/**
 * `arq auth gen`: signs a token with the key that `--key` names, else with the key of the bus that every
 * other command takes here, else with the development key.
 */
import { idProblem } from "@arqon/proto";
import { DEV_AUDIENCE, DEV_ISSUER, DEV_TENANT, findDevKey } from "../../bus/dev_bus.ts";
import { CommandError, EXIT, usageError } from "../../terminal/exit.ts";
import { type Io, print, resolvePath } from "../../terminal/io.ts";
import { findTarget } from "../../bus/target.ts";
import { parsePrivateKey, signToken } from "../../bus/token.ts";
import type { Flags } from "../../program/flags.ts";

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
  const where = resolvePath(io.cwd, path);
  try {
    return { text: new TextDecoder().decode(await io.files.read(where)), where, issuer, audience };
  } catch (error) {
    throw new CommandError(
      `cannot read ${where}: ${error instanceof Error ? error.message : error}`,
    );
  }
}

/** Key and claims of the bus that commands take here, else of the next development bus. */
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
    throw new CommandError(
      `no key: no --key is given and there is no development key in ${io.state_dirs.join(", ")}`,
      EXIT.failure,
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
  return new CommandError(
    `context ${name} has no key to sign with`,
    EXIT.failure,
    `arq context add ${name} --update --key FILE --issuer … --audience …; ` +
      "--context dev takes the key of the running development bus",
  );
}

/** Prints the token on stdout, and nothing else. */
export async function authGen(io: Io, flags: Flags<"role" | "ttl">): Promise<number> {
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
  const claims = {
    issuer: signer.issuer,
    audience: signer.audience,
    tenant,
    user,
    role: flags.role,
    grants: flags.grant,
    ttl_seconds: flags.ttl,
  };
  const token = await signToken(parsePrivateKey(signer.text, signer.where), claims, io.now());
  const expires = new Date(io.now() + flags.ttl * 1_000).toISOString();
  const report = { token, issuer: claims.issuer, tenant, user, role: flags.role, expires };
  await print(io.stdout, flags.json === true ? `${JSON.stringify(report)}\n` : `${token}\n`);
  return 0;
}
