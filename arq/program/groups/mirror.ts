/** The commands of `arq mirror`. */
import { command, type Definition, group, rows } from "./define.ts";
import { asks, bySubject, either, from, sentence, settles } from "./asks.ts";
import { plural } from "../../../shared/plural.ts";
import { ANSWER, percentage, SUBJECT_TENANT, TENANT, tenant } from "./options.ts";

// A command is loaded when it runs.
const texts = () => import("../../answers/settings_text.ts");

const RULES = "/v1/tenants/{tenant}/mirror";
const DIFF = "/v1/mirror/diff?tenant,candidate";

const PREFIX = rows`
    <prefix>  a room or the beginning of one ('vehicles-*'), or a subject ('in.t.acme.*')`;

/** `arq mirror` */
export const MIRROR: readonly Definition[] = [
  group`mirror: shadow traffic: rules and comparisons`,
  command`mirror set: copy a share of the traffic to shadow.<subject>; replaces the rule of that prefix
    ${PREFIX}
    <share>  share of all traces: 10% or 0.01% ${percentage}
    ${ANSWER} ${SUBJECT_TENANT}

    Of the rules that match a subject only the one with the longest prefix applies. A larger share
    includes all of a smaller one. Every Shield applies it within a second.
    $ arq mirror set 'vehicles-*' 10%
    $ arq mirror set 'in.t.acme.*' 0.5%
    $ arq mirror set in.t.acme.r.billing 0`(settles({
    route: `PUT ${RULES}`,
    body: "prefix,percent=share",
    given: bySubject("prefix"),
    done: from(texts, "mirroredText"),
  })),
  command`mirror list: list the rules in force, of the configuration and of all tenants
    ${ANSWER}
    --tenant <id>  only the rules that this tenant has set ${tenant}

    $ arq mirror list
    $ arq mirror list --tenant acme --json`(
    asks({ route: [`GET ${RULES}`, "GET /v1/mirror"], text: from(texts, "rulesText") }),
  ),
  command`mirror remove: remove a tenant's rule; rules of the configuration stay
    ${PREFIX}
    ${ANSWER} ${SUBJECT_TENANT}

    $ arq mirror remove 'vehicles-*'`(settles({
    route: `DELETE ${RULES}?prefix`,
    given: bySubject("prefix"),
    none: [
      ({ prefix }) => `rule for ${prefix}`,
      "arq mirror list shows the rules; those of the configuration stay",
    ],
    done: (_, { prefix }) => `the rule for ${prefix} is removed`,
  })),
  command`mirror reset: reset a tenant's settings if the bus cannot read the stored ones
    ${ANSWER} ${TENANT}

    Afterwards there are no mirror rules, schema mappings and room classes.


    $ arq mirror reset --tenant acme`(settles({
    route: "POST /v1/tenants/{tenant}/reset",
    done: () => "mirror rules, schema mappings and room classes are reset to none",
  })),
  command`mirror explain: print which rule matches a subject, and why
    <subject>  a room, or a subject 'in.t.acme.r.lobby'
    ${ANSWER} ${SUBJECT_TENANT}
    --key <id>  a trace id or connection id, to print whether it is mirrored

    $ arq mirror explain lobby
    $ arq mirror explain in.t.acme.r.lobby --key 4bf92f3577b34da6a3ce929d0e0e4736`(asks({
    route: "GET /v1/mirror/explain?subject,key",
    given: bySubject("subject"),
    text: from(texts, "explainText"),
  })),
  command`mirror diff: compare the decisions of candidates with production
    ${ANSWER} ${TENANT}
    --candidate <name>  only this candidate: policy:NAME, schema:ID or a consumer's name
    --reset  delete the comparisons

    Candidates are observing policies and schemas, and shadow consumers that report their decisions.
    Each Shield compares the messages that it mirrored; --admin-url selects a Shield.
    $ arq mirror diff
    $ arq mirror diff --tenant acme --json | jq '.candidates[].would_refuse'
    $ arq mirror diff --candidate policy:next --reset`(either(
    "reset",
    asks({
      route: `DELETE ${DIFF}`,
      text: sentence(({ forgotten }, { tenant }) =>
        `forgot ${plural(Number(forgotten), "candidate")} of tenant ${tenant}`
      ),
    }),
    asks({ route: `GET ${DIFF}`, text: from(texts, "diffText") }),
  )),
];
