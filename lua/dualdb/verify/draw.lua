--- Draws keys for a sample, so that each key that either side has is as likely as any other. Two
--- ways: points of the key range, where keys are whole numbers without wide gaps; else the keys
--- whose digests are the least, for which each server reads all its keys once.

local core = require "dualdb.core"
local errors = require "dualdb.errors"
local fetch = require "dualdb.fetch"
local key_range = require "dualdb.sync.key_range"

local draw = {}

local SIDES = { "primary", "secondary" }
local UNIFORMLY = "uniformly, without replacement, from the keys that either side has, "

---@class dualdb.Drawn
---@field keys string[]                    canonical, in the order drawn
---@field on table<string, table<string, boolean>>   by side: the keys that it has
---@field by string                        how they were drawn
---@field all boolean                      there are no others

-- ---- random numbers ----

--- Random numbers from a seed that are the same on every machine (splitmix64): a function that
--- returns one of 0 to most, each as likely.
---@param seed integer
---@return fun(most: integer): integer
function draw.numbers(seed)
  local state = seed
  local function bits()
    state = state + 0x9E3779B97F4A7C15
    local z = state
    z = (z ~ (z >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ~ (z >> 27)) * 0x94D049BB133111EB
    return z ~ (z >> 31)
  end
  return function(most)
    local mask = most
    for _, shift in ipairs { 1, 2, 4, 8, 16, 32 } do mask = mask | (mask >> shift) end
    local number
    repeat number = bits() & mask until number <= most
    return number
  end
end

-- ---- points of the key range ----

--- Points that are tried for each key that is wanted; with fewer keys among them there are gaps.
local MOST_TRIES = 50

--- The least and the greatest key of both sides as Lua integers; nil when there is none that is
--- one, or so many lie between that they cannot be counted.
local function ends(job)
  local spec, low, high = job.spec, nil, nil
  for _, side in ipairs(SIDES) do
    local first, last = key_range.ends(job.conns[side], spec, side, {})
    if first and (not low or first < low) then low = first end
    if last and (not high or last > high) then high = last end
  end
  if not low then return nil end
  local least = core.unpack(spec.key_kinds, low)[1]
  local greatest = core.unpack(spec.key_kinds, high)[1]
  if math.type(least) ~= "integer" or math.type(greatest) ~= "integer" then return nil end
  if greatest - least < 0 then return nil end
  return least, greatest
end

--- Which of the keys a side has.
local function look_up(job, side, keys, on)
  local builder = job.spec.statements[side]
  local condition = job.filter[side] and (" and (%s)"):format(job.filter[side]) or ""
  local count = job.spec.key_count
  builder = builder:only({ table.unpack(builder.columns, 1, count) })
  for from = 1, #keys, fetch.BATCH do
    local to = math.min(from + fetch.BATCH - 1, #keys)
    local rows = job.conns[side]:fetch(builder:select_by_keys(to - from + 1) .. condition,
      job.spec.key_kinds:rep(to - from + 1), table.concat(keys, "", from, to), job.spec.key_kinds)
    for _, key in ipairs(rows) do on[side][key] = true end
  end
end

--- Nil when the keys have gaps so wide that points find too few, or are no whole numbers.
---@return dualdb.Drawn|nil
local function by_points(job, wanted, seed)
  local spec = job.spec
  if spec.key_kinds ~= "i" then return nil end
  local least, greatest = ends(job)
  if not least or greatest - least < 2 * wanted then return nil end
  local number = draw.numbers(seed)
  local drawn = { keys = {}, on = { primary = {}, secondary = {} } }
  local tried, tries, next_tries = {}, 0, wanted
  while #drawn.keys < wanted do
    local points = {}
    for _ = 1, next_tries do
      local key = core.pack("i", { least + number(greatest - least) })
      if not tried[key] then points[#points + 1], tried[key] = key, true end
    end
    tries = tries + next_tries
    for _, side in ipairs(SIDES) do
      local crossable = side == "primary" and points or fetch.crossable_keys(spec, points)
      look_up(job, side, crossable, drawn.on)
    end
    for _, key in ipairs(points) do
      if #drawn.keys == wanted then break end
      if drawn.on.primary[key] or drawn.on.secondary[key] then
        drawn.keys[#drawn.keys + 1] = key
      end
    end
    if tries >= MOST_TRIES * wanted then break end
    -- As many as are likely to be enough.
    next_tries = math.min((wanted - #drawn.keys) * tries // math.max(#drawn.keys, 1) + 10,
      MOST_TRIES * wanted - tries, 10 * wanted)
  end
  if #drawn.keys < wanted then return nil end
  drawn.by = UNIFORMLY .. ("by points of the key range %d to %d"):format(least, greatest)
  return drawn
end

-- ---- least digests ----

--- Per kind: the text of a value that both servers make alike, by the column on either side. It
--- never has a comma in it.
local TEXTS = {
  b = { "%s + 0", "%s::int::text" },
  i = { "%s + 0", "%s::text" },
  d = { "%s", "trim_scale(%s)::text" },
  t = { "hex(convert(%s using utf8mb4))", "upper(encode(convert_to(%s::text, 'UTF8'), 'hex'))" },
  x = { "hex(%s)", "upper(encode(%s, 'hex'))" },
  u = { "upper(replace(%s, '-', ''))", "upper(replace(%s::text, '-', ''))" },
  D = { "date_format(%s, '%%Y-%%m-%%d')", "to_char(%s, 'YYYY-MM-DD')" },
  S = { "date_format(%s, '%%Y-%%m-%%d %%H:%%i:%%s.%%f')",
        "to_char(%s, 'YYYY-MM-DD HH24:MI:SS.US')" },
  T = { "time_format(%s, '%%H:%%i:%%s.%%f')", "to_char(%s::interval, 'HH24:MI:SS.US')" },
}

local function text_of(spec, i, side)
  local column, name = spec.columns[i], spec.statements[side].columns[i]
  local here, there = column.primary, column.other
  local forms = TEXTS[column.kind]
  if not forms or there.type == "interval" then
    errors.usage("model %s: sample: its key column %s is %s, of which the servers do not make the "
      .. "same text, so that its keys cannot be drawn", spec.name, column.name, here.column_type)
  end
  if side == "secondary" then
    if there.type == "timestamptz" then name = name .. " at time zone 'UTC'" end
    if column.kind == "x" and there.kind == "u" then forms = TEXTS.u end
    return forms[2]:format(name)
  end
  if column.kind == "d" and (here.scale or 0) > 0 then
    return ("trim(trailing '.' from trim(trailing '0' from %s))"):format(name)
  end
  if column.kind == "u" and here.kind == "x" then forms = TEXTS.x end
  return forms[1]:format(name)
end

local DIGESTS = {
  primary = "sha2(concat_ws(',', '%d', %s), 256)",
  secondary = "encode(sha256(convert_to(concat_ws(',', '%d', %s), 'UTF8')), 'hex')",
}

--- The keys of a side with the least digests: key -> digest.
local function least_digests(job, side, wanted, seed)
  local spec, texts = job.spec, {}
  local builder = spec.statements[side]
  for i = 1, spec.key_count do texts[i] = text_of(spec, i, side) end
  local names = builder:key_list()
  local text = ("select %s, %s as drawn from %s%s order by drawn limit %d"):format(names,
    DIGESTS[side]:format(seed, table.concat(texts, ", ")), builder.table,
    job.filter[side] and (" where (%s)"):format(job.filter[side]) or "", wanted)
  local found = {}
  for _, packed in ipairs(job.conns[side]:fetch(text, "", "", spec.key_kinds .. "t")) do
    found[core.prefix(packed, spec.key_count)] = core.fields(packed)[spec.key_count + 1]
  end
  return found
end

--- The keys with the least digests of all that either side has.
local function by_digests(job, wanted, seed)
  local digests, drawn = {}, { keys = {}, on = { primary = {}, secondary = {} } }
  for _, side in ipairs(SIDES) do
    for key, digest in pairs(least_digests(job, side, wanted, seed)) do
      if not digests[key] then drawn.keys[#drawn.keys + 1] = key end
      digests[key], drawn.on[side][key] = digests[key] or digest, true
    end
  end
  table.sort(drawn.keys, function(a, b)
    if digests[a] == digests[b] then return a < b end
    return digests[a] < digests[b]
  end)
  drawn.all = #drawn.keys < wanted
  for i = #drawn.keys, wanted + 1, -1 do drawn.keys[i] = nil end
  drawn.by = drawn.all and "all keys that either side has"
    or UNIFORMLY .. "as those with the least SHA-256 of the seed and the key"
  return drawn
end

--- Draws `wanted` keys, or all when there are fewer.
---@param job dualdb.VerifyJob
---@param wanted integer
---@param seed integer
---@return dualdb.Drawn
function draw.keys(job, wanted, seed)
  return by_points(job, wanted, seed) or by_digests(job, wanted, seed)
end

return draw
