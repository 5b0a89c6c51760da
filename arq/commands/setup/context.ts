/**
 * `arq context add|use|list|show|remove`: give buses names, so that commands need neither addresses nor tokens. They
 * talk to no bus; `target.ts` decides which bus a command uses.
 */
import {
  checkedContext,
  contextNamed,
  contextOfFolder,
  contextsFile,
  DEV_CONTEXT,
  readContexts,
  withContext,
  writeContexts,
} from "../../bus/contexts.ts";
import type { Context, Contexts } from "../../bus/contexts.ts";
import { printable, usageError } from "../../terminal/exit.ts";
import { readInput } from "../../terminal/input.ts";
import { type Ended, type Io, resolvePath } from "../../terminal/io.ts";
import { findTarget, noBus } from "../../bus/target.ts";
import type { ConnectionFlags, Flags } from "../../program/flags.ts";
import { parsePrivateKey } from "../../bus/token.ts";
import { inColumns, linesText } from "../../terminal/columns.ts";

/** The fields of a context that the options give. A key replaces a token file, and a token file a key. */
function given(io: Io, flags: Flags): Partial<Context> {
  const path = (text: string | undefined) => text === undefined ? text : resolvePath(io.cwd, text);
  const all: Partial<Context> = {
    url: flags.url as string,
    admin_url: flags.adminUrl,
    ops_url: flags.opsUrl,
    ops_token_file: path(flags.opsTokenFile),
    tenant: flags.tenant,
    key: path(flags.key),
    issuer: flags.issuer,
    audience: flags.audience,
    token_file: path(flags.tokenFile),
  };
  const set = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  if (flags.key !== undefined) return { token_file: undefined, ...set };
  if (flags.tokenFile === undefined) return set;
  return { key: undefined, issuer: undefined, audience: undefined, ...set };
}

/** Where the tokens of a context come from; it shows no token. */
function tokenText({ key, token_file }: Context): string {
  if (key !== undefined) return `signed with ${key}`;
  return token_file === undefined ? "none" : `from ${token_file}`;
}

/** Reports that another context than the one in use applies in this folder; "" otherwise. */
function shadowText(io: Io, all: Contexts): string {
  const own = contextOfFolder(all, io.cwd);
  if (own === undefined || all.current === undefined || own.name === all.current) return "";
  return `In this folder ${own.name} is used, the context of ${own.folder}; ` +
    `--context ${all.current} selects the other.\n`;
}

/** Adds a context. With `--update` it changes the given fields of one. */
export async function contextAdd(io: Io, name: string, flags: Flags): Promise<Ended> {
  const all = await readContexts(io);
  const before = all.contexts.find((context) => context.name === name);
  if (before !== undefined && flags.update !== true) {
    throw usageError(`context ${name} exists already`, "--update changes the given options of it");
  }
  if (before === undefined && flags.url === undefined) {
    throw usageError("--url is missing", `arq context add ${name} --url ws://127.0.0.1:4000`);
  }
  const context = checkedContext({ url: "", ...before, ...given(io, flags), name });
  if (flags.key !== undefined && context.key !== undefined) {
    parsePrivateKey(new TextDecoder().decode(await readInput(io, context.key)), context.key);
  }
  if (flags.tokenFile !== undefined) await readInput(io, flags.tokenFile);
  if (flags.opsTokenFile !== undefined) await readInput(io, flags.opsTokenFile);
  const added = withContext(all, context);
  const current = flags.use === true ? name : all.current;
  await writeContexts(io, { ...added, current });
  const what = before === undefined ? "added" : "changed";
  const use = current === name ? "It is in use.\n" : `To use it: arq context use ${name}\n`;
  const about = printable(`${context.url}, tokens ${tokenText(context)}`);
  const text = `${name} ${what}: ${about}\n`;
  const shadow = flags.use === true ? shadowText(io, { ...added, current }) : "";
  return { json: { ...context, current: current === name }, text: text + use + shadow };
}

/** Chooses the context that commands use from now on; `dev` means no context. */
export async function contextUse(io: Io, name: string): Promise<Ended> {
  const all = await readContexts(io);
  const current = name === DEV_CONTEXT ? undefined : contextNamed(all, name).name;
  const changed = { ...all, current };
  await writeContexts(io, changed);
  const text = current === undefined
    ? "No context is in use; commands use the running development bus.\n"
    : `${current} is in use: ${printable(contextNamed(all, current).url)}\n`;
  return { json: { current: current ?? null }, text: text + shadowText(io, changed) };
}

/** Prints all contexts; a star marks the one in use. */
export async function contextList(io: Io): Promise<Ended> {
  const all = await readContexts(io);
  const here = contextOfFolder(all, io.cwd);
  const rows = all.contexts.map((context) => [
    `${context.name === all.current ? "*" : " "} ${context.name}`,
    context.url,
    context.tenant ?? "",
    tokenText(context),
    context.folder === undefined
      ? ""
      : `in ${context.folder}${context === here ? " (this folder)" : ""}`,
  ]);
  const none = "There are no contexts; arq context add NAME --url … adds one.\n";
  const text = rows.length === 0 ? none : linesText(inColumns(rows));
  const file = contextsFile(io) ?? null;
  const value = { file, current: all.current ?? null, contexts: all.contexts };
  return { json: value, text };
}

/** Prints the bus that a command would use in this folder, and why. */
export async function contextShow(
  io: Io,
  flags: ConnectionFlags & { readonly json?: boolean },
): Promise<Ended> {
  const target = await findTarget(io, flags);
  if (target === undefined) throw noBus(io);
  const { title, why, context, url, admin_url, ops_url, tenant, signing } = target;
  const members = {
    name: context?.name ?? DEV_CONTEXT,
    why,
    url,
    admin_url: admin_url ?? null,
    ops_url: ops_url ?? null,
    tenant: tenant ?? null,
    tokens: context === undefined ? "signed with the development key" : tokenText(context),
    key: signing?.key ?? null,
    issuer: signing?.issuer ?? null,
    audience: signing?.audience ?? null,
  };
  const shown = Object.entries(members).filter(([key, value]) =>
    value !== null && key !== "name" && key !== "why"
  );
  const lines = shown.map(([key, value]) => `  ${key.padEnd(9)}  ${printable(String(value))}\n`);
  return { json: members, text: `${title}: ${printable(why)}\n${lines.join("")}` };
}

/** Removes a context; its key and token files stay. */
export async function contextRemove(io: Io, name: string): Promise<Ended> {
  const all = await readContexts(io);
  const gone = contextNamed(all, name);
  const contexts = all.contexts.filter((context) => context !== gone);
  const was_current = all.current === name;
  await writeContexts(io, { current: was_current ? undefined : all.current, contexts });
  const text = `${name} removed${was_current ? "; no context is in use now" : ""}\n`;
  return { json: { removed: name, was_current }, text };
}
