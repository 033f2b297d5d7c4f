--- PostgreSQL's types by name: what kind their values are, and the small grammar in which a model
--- names one.

local pgtype = {}

--- Kinds by the catalog's name (pg_type.typname). What is not here dualdb cannot represent.
pgtype.KINDS = {
  int2 = "i", int4 = "i", int8 = "i", numeric = "d", float4 = "f", float8 = "g", bool = "b",
  text = "t", varchar = "t", bpchar = "t", citext = "t", bytea = "x", bit = "B", varbit = "B",
  date = "D", time = "T", timetz = "T", interval = "T", timestamp = "S", timestamptz = "S",
  json = "j", jsonb = "j", uuid = "u",
}

--- The catalog's name, what dualdb writes, how many numbers may follow, other names that SQL has.
local NAMES = {}
for _, entry in ipairs {
  { "int2", "smallint", 0, "int2" },
  { "int4", "integer", 0, "int", "int4" },
  { "int8", "bigint", 0, "int8" },
  { "numeric", "numeric", 2, "decimal", "dec" },
  { "float4", "real", 0, "float4" },
  { "float8", "double precision", 0, "float8" },
  { "bool", "boolean", 0, "bool" },
  { "text", "text", 0 },
  { "varchar", "varchar", 1, "character varying" },
  { "bpchar", "char", 1, "character" },
  { "citext", "citext", 0 },
  { "bytea", "bytea", 0 },
  { "bit", "bit", 1 },
  { "varbit", "bit varying", 1, "varbit" },
  { "date", "date", 0 },
  { "time", "time", 1, "time without time zone" },
  { "timetz", "timetz", 1, "time with time zone" },
  { "interval", "interval", 1 },
  { "timestamp", "timestamp", 1, "timestamp without time zone" },
  { "timestamptz", "timestamptz", 1, "timestamp with time zone" },
  { "json", "json", 0 },
  { "jsonb", "jsonb", 0 },
  { "uuid", "uuid", 0 },
} do
  NAMES[entry[2]] = entry
  for i = 4, #entry do NAMES[entry[i]] = entry end
end

--- Not types: they stand for a type with a sequence and a default.
local NOT_TYPES = { serial = true, bigserial = true, smallserial = true, serial2 = true,
                    serial4 = true, serial8 = true }

local IDENTIFIER = "^[a-z_][a-z0-9_]*$"
local LONGEST = { numeric = 1000, varchar = 10485760, bpchar = 10485760, bit = 83886080,
                  varbit = 83886080 }

--- A type of the database's own (an enum, a domain), perhaps with its schema.
local function user_type(name)
  local schema, bare = name:match("^([^.]+)%.([^.]+)$")
  bare = bare or name
  if NOT_TYPES[bare] or schema and not schema:match(IDENTIFIER) or not bare:match(IDENTIFIER) then
    return nil
  end
  return { column_type = name, type = bare }
end

local function with_numbers(entry, first, second)
  local name, limit = entry[1], LONGEST[entry[1]] or 6
  local found = { type = name, kind = pgtype.KINDS[name], column_type = entry[2] }
  if (second and entry[3] < 2) or (first and (entry[3] < 1 or first > limit)) then return nil end
  if first then
    if first == 0 and LONGEST[name] or second and second > first then return nil end
    found.column_type = second and ("%s(%d,%d)"):format(entry[2], first, second)
      or ("%s(%d)"):format(entry[2], first)
  end
  if name == "numeric" then
    found.digits, found.scale = first, first and (second or 0)
  elseif found.kind == "T" or found.kind == "S" then
    found.fraction = first or 6
  else
    found.length = first or (name == "bit" or name == "bpchar") and 1 or nil
  end
  return found
end

--- What a type's name stands for, as schema/postgres.lua describes a column; nil when the text is
--- not the name of one type. Of the database's own types the kind is not known.
---@param text string
---@return { column_type: string, type: string, kind: string|nil, length: integer|nil,
---   digits: integer|nil, scale: integer|nil, fraction: integer|nil }|nil
function pgtype.parse(text)
  local plain = text:lower():gsub("%s+", " "):gsub("^ ", ""):gsub(" $", "")
  local before, numbers, after = plain:match("^([^()]-) ?%(([%d ,]+)%)(.*)$")
  if not before then
    local entry = NAMES[plain]
    if entry then return with_numbers(entry) end
    return user_type(plain)
  end
  local entry = NAMES[before .. after]
  local first, second = numbers:match("^ ?(%d+) ?$"), nil
  if not first then first, second = numbers:match("^ ?(%d+) ?, ?(%d+) ?$") end
  if not entry or not first or #first > 9 or #(second or "") > 9 then return nil end
  return with_numbers(entry, tonumber(first), tonumber(second))
end

return pgtype
