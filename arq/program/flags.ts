/**
 * The options of all commands by name: an option has one kind of value everywhere, which `completion_test.ts` checks.
 * Commander makes the values: a span of time is in seconds, a moment is in Unix ms. Each list has the names of one kind
 * of value.
 */
import type { Json, Uint64 } from "@arqon/sdk";
import type { Algorithm, Grant, Role } from "../bus/token.ts";
import type { CallBound } from "../replay/tally.ts";
import type { RedactPath } from "../replay/redaction.ts";
import type { Anchor } from "../../shared/audit/chain.ts";
import type { Hook } from "../../shared/records/verdict.ts";

/** The options of every command that talks to a bus. */
export interface ConnectionFlags {
  readonly context?: string;
  readonly url?: string;
  readonly opsUrl?: string;
  readonly adminUrl?: string;
  readonly token?: string;
  readonly tokenFile?: string;
}

type Words<Text, All = never> = Text extends `${infer One} ${infer More}` ? Words<More, All | One>
  : All | Text;
type Named<Value, Names> = { readonly [Name in Names & string]?: Value };

type Switches = Named<
  boolean,
  | Words<"acceptLoss all allowUnreachable background bus check dryRun embedded files follow">
  | Words<"force guest json newest observe path payloads presence proof proto reset reverse rooms">
  | Words<"shrink sql stored through undo update use values yes">
>;
type Texts = Named<
  string,
  | Words<"action actor address against audience begin behind candidate cases commandId">
  | Words<"commands compare compat compose config connection contentType dataDir database">
  | Words<"databaseFile domain epoch file filesTo filter flips fromCentrifugo id identity">
  | Words<"issuer jaegerUrl journal key keyFile listen local log message messageId name nats">
  | Words<"ndjson opsTokenFile out outcome output own ownTenant passphraseFile pattern policy">
  | Words<"prefix reason recipientsFile room slot snapshot state tenant tokenId trace traffic">
  | Words<"twist type user">
>;
type Numbers = Named<
  number,
  | Words<"adminPort after at atLeast before canary checkSince count for from fuelLimit">
  | Words<"interval issuedBefore keep last limit maxDifferences maxUnknown memoryLimitPages">
  | Words<
    "offset opsPort order percent poll port quorum rate rows runs seed since time to ttl until"
  >
  | Words<"version wait window">
>;
type Lists = Named<
  readonly string[],
  Words<"abortIf event include module older recipient vkey witness">
>;

interface Options extends ConnectionFlags, Switches, Texts, Numbers, Lists {
  readonly alg?: Algorithm;
  readonly anchor?: Anchor;
  readonly claim?: readonly (readonly [name: string, value: unknown])[];
  readonly expectVersion?: Uint64;
  readonly fence?: Uint64;
  readonly grant?: readonly Grant[];
  readonly header?: readonly (readonly [name: string, value: string])[];
  readonly hook?: Hook;
  readonly maxFlips?: CallBound;
  readonly meta?: Json;
  readonly redact?: readonly RedactPath[];
  readonly role?: Role;
  readonly unknown?: "allow" | "warn" | "refuse";
  readonly watch?: number | true;
}

/**
 * The options and operands of a command. `Given` names those that are always present: operands of a kind, and options
 * with a default.
 */
export type Flags<Given extends keyof Options = never> =
  & Options
  & { readonly [Name in Given]-?: NonNullable<Options[Name]> };
