--- Columns of geometries, and values as the server's own bytes: the SRID and WKB.

local geometries = {}

local random = math.random

local CODE = {
  point = 1, linestring = 2, polygon = 3, multipoint = 4, multilinestring = 5, multipolygon = 6,
  geometrycollection = 7,
}
local SORTS = { "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
                "geometrycollection" }
local PLAIN, GLOBE = 0, 4326

local function header(sort) return ("<BI4"):pack(1, CODE[sort]) end

--- Any number there is, or one that is a longitude and a latitude.
local function coordinate(srid)
  if srid == GLOBE then return random() * 160 - 80 end
  if random() < 0.5 then return random(-1000, 1000) end
  while true do
    local value = string.unpack("<d", string.pack("<i8", random(0)))
    if value == value and math.abs(value) < 1e150 then return value end
  end
end

local function position(srid) return ("<dd"):pack(coordinate(srid), coordinate(srid)) end

local function positions(srid, count)
  local list = {}
  for i = 1, count do list[i] = position(srid) end
  return ("<I4"):pack(count) .. table.concat(list)
end

local make = {}

local function many(sorts, srid)
  local list = {}
  for i = 1, random(1, 3) do
    local sort = sorts[random(#sorts)]
    list[i] = header(sort) .. make[sort](srid)
  end
  return ("<I4"):pack(#list) .. table.concat(list)
end

function make.point(srid) return position(srid) end
function make.linestring(srid) return positions(srid, random(2, 5)) end
function make.multipoint(srid) return many({ "point" }, srid) end
function make.multilinestring(srid) return many({ "linestring" }, srid) end
function make.multipolygon(srid) return many({ "polygon" }, srid) end
function make.geometrycollection(srid) return many({ "point", "linestring", "polygon" }, srid) end

--- A square: a ring has to come back to where it began.
function make.polygon()
  local x, y, size = random(-50, 40) + 0.5, random(-50, 40), random(1, 9)
  local ring = ("<dddddddddd"):pack(x, y, x + size, y, x + size, y + size, x, y + size, x, y)
  return ("<I4I4"):pack(1, 5) .. ring
end

local function literal(srid, sort)
  local bytes = ("<I4"):pack(srid) .. header(sort) .. make[sort](srid)
  return "x'" .. bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end) .. "'"
end

--- A column of one sort, or of any.
---@return spec.GeneratedColumn
function geometries.column()
  local sort = SORTS[random(#SORTS)]
  local any = random() < 0.4
  local list = any and SORTS or { sort }
  local function value()
    return literal(random() < 0.7 and PLAIN or GLOBE, list[random(#list)])
  end
  local edges = {}
  for i, name in ipairs(list) do edges[i] = literal(PLAIN, name) end
  return { sql = any and "geometry" or sort, form = "bytes", edges = edges, make = value }
end

return geometries
