/**
 * Host names as protovalidate defines them: at most 253 characters, *excluding* an optional final dot. The library
 * counts that dot, so rules about hosts are replaced by patterns that `RuleSteps.matches` passes to this file:
 * `matches` is the only function of the library that can be replaced.
 */
import type {
  FieldRules,
  StringRules,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { RuleSchema } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { create } from "@bufbuild/protobuf";

/** The pattern that stands for `isHostname` in expressions; no text matches it. */
export const HOSTNAME = "(?#hostname)";
/** The pattern for host and port, for hosts that the library considers too long. */
const LONG_HOST_AND_PORT = "(?#long-host-and-port)";

const NAME_CHARS = 253;
const LABEL = /^(?!-)[A-Za-z0-9-]{1,63}(?<!-)$/;
const DIGITS = /^[0-9]+$/;
const PORT = /^(?:0|[1-9][0-9]{0,4})$/;

function isHostname(text: string): boolean {
  const name = text.endsWith(".") ? text.slice(0, -1) : text;
  if (name.length > NAME_CHARS) return false;
  const labels = name.split(".");
  return labels.every((label) => LABEL.test(label)) && !DIGITS.test(labels.at(-1) ?? "");
}

function isHostAndPort(text: string): boolean {
  const at = text.lastIndexOf(":");
  const port = text.slice(at + 1);
  return at >= 0 && PORT.test(port) && Number(port) <= 65_535 && isHostname(text.slice(0, at));
}

/** Whether a text matches one of the patterns above; undefined for any other pattern. */
export function matchesHost(pattern: string, text: string): boolean | undefined {
  if (pattern === HOSTNAME) return isHostname(text);
  return pattern === LONG_HOST_AND_PORT ? isHostAndPort(text) : undefined;
}

interface HostRule {
  readonly id: string;
  readonly what: string;
  readonly expression: string;
}

/** The standard rules about hosts, as expressions. */
const HOST_RULES: Readonly<Record<string, HostRule>> = {
  hostname: { id: "string.hostname", what: "hostname", expression: `this.matches("${HOSTNAME}")` },
  address: {
    id: "string.address",
    what: "hostname, or ip address",
    expression: `this.matches("${HOSTNAME}") || this.isIp()`,
  },
  hostAndPort: {
    id: "string.host_and_port",
    what: "host (hostname or IP address) and port pair",
    expression: `this.isHostAndPort(true) || this.matches("${LONG_HOST_AND_PORT}")`,
  },
};

function hostRuleOf({ type }: FieldRules): HostRule | undefined {
  if (type.case !== "string") return undefined;
  const { wellKnown }: StringRules = type.value;
  return wellKnown.value === true ? HOST_RULES[wellKnown.case ?? ""] : undefined;
}

/** Whether the rules include one about hosts. */
export function hasHostRule(rules: FieldRules): boolean {
  return hostRuleOf(rules) !== undefined;
}

/** Replaces the standard rules about hosts by expressions with the same ids and texts. */
export function replaceHostRule(rules: FieldRules): void {
  const rule = hostRuleOf(rules);
  if (rule === undefined || rules.type.case !== "string") return;
  rules.type.value.wellKnown = { case: undefined };
  const { id, what, expression } = rule;
  const empty = what.startsWith("host (") ? "host and port pair" : what;
  rules.cel.push(
    create(RuleSchema, {
      id,
      message: `must be a valid ${what}`,
      expression: `this == "" || ${expression}`,
    }),
    create(RuleSchema, {
      id: `${id}_empty`,
      message: `value is empty, which is not a valid ${empty}`,
      expression: 'this != ""',
    }),
  );
}
