/** The completion script of PowerShell 5.1 and newer. Pure. */
import type { CompletedCommand, Place } from "./completion.ts";

const quoted = (text: string) => `'${text.replaceAll("'", "''")}'`;

/** A value in the script's tables: the choices, or a colon and the kind. */
function valueText({ kind, choices }: Place): string {
  return kind === "choice" ? choices.join(" ") : `:${kind}`;
}

function table(name: string, rows: readonly (readonly [string, string])[]): string {
  const lines = rows.map(([key, value]) => `    ${quoted(key)} = ${value}\n`);
  return `  $${name} = @{\n${lines.join("")}  }\n`;
}

function pairs(rows: readonly { readonly name: string; readonly description: string }[]): string {
  return `@(${
    rows.map(({ name, description }) => `@(${quoted(name)}, ${quoted(description)})`).join(", ")
  }${rows.length === 1 ? "," : ""})`.replace(/^@\((.*),\)$/s, "@(,$1)");
}

const HEAD = `# PowerShell completion for arq, made by \`arq completion powershell\`.
# To have it in every new shell, in the file that $PROFILE names:
#   arq completion powershell | Out-String | Invoke-Expression

Register-ArgumentCompleter -Native -CommandName 'arq' -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
`;

const MAIN = `
  $path = 'arq'
  $operands = 0
  $skip = ''
  $rest = $false
  $words = @($commandAst.CommandElements | Select-Object -Skip 1 |
    Where-Object { $_.Extent.EndOffset -lt $cursorPosition } | ForEach-Object { $_.Extent.Text })
  foreach ($word in $words) {
    if ($skip) { $skip = '' }
    elseif ($rest) { $operands++ }
    elseif ($word -eq '--') { $rest = $true }
    elseif ($word.StartsWith('-')) { if ($values.ContainsKey("$path $word")) { $skip = $word } }
    elseif ($options.ContainsKey("$path $word")) { $path = "$path $word" }
    else { $operands++ }
  }
  $found = @()
  $value = $null
  if ($skip) { $value = $values["$path $skip"] }
  elseif (-not $rest -and $wordToComplete.StartsWith('-')) { $found = $options[$path] }
  elseif ($commands.ContainsKey($path)) { $found = $commands[$path] }
  elseif ($places.ContainsKey("\${path}:$operands")) { $value = $places["\${path}:$operands"] }
  elseif ($places.ContainsKey("\${path}:*")) { $value = $places["\${path}:*"] }
  # Nothing at all lets PowerShell complete names of files.
  if ($value -eq ':file' -or $value -eq ':folder') { return }
  if ($value -eq ':context') { $found = @(arq __complete contexts | ForEach-Object { ,@($_, $_) }) }
  elseif ($value -and $value -ne ':text') { $found = @($value.Split(' ') | ForEach-Object { ,@($_, $_) }) }
  $found | Where-Object { $_[0].StartsWith($wordToComplete) } | ForEach-Object {
    [System.Management.Automation.CompletionResult]::new($_[0], $_[0], 'ParameterValue', $_[1])
  }
}
`;

/** The completion script of PowerShell for these commands. */
export function powershellScript(commands: readonly CompletedCommand[]): string {
  const groups = commands.filter((command) => command.commands.length > 0);
  const options = commands.map(({ words, options }) => {
    const names = options.flatMap(({ short, long, description }) =>
      [short, long].flatMap((name) => name === undefined ? [] : [{ name, description }])
    );
    return [words, pairs(names)] as const;
  });
  const values = commands.flatMap(({ words, options }) =>
    options.flatMap(({ short, long, value }) =>
      value === undefined
        ? []
        : [short, long].flatMap((name) =>
          name === undefined ? [] : [[`${words} ${name}`, quoted(valueText(value))] as const]
        )
    )
  );
  const places = commands.flatMap(({ words, operands }) =>
    operands.map((operand, index) =>
      [`${words}:${operand.is_variadic ? "*" : index}`, quoted(valueText(operand))] as const
    )
  );
  return HEAD +
    table("commands", groups.map((group) => [group.words, pairs(group.commands)])) +
    table("options", options) + table("values", values) + table("places", places) + MAIN;
}
