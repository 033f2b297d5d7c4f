--- Makes a failing table as small as it can be made, so that a person sees what matters.

local shrink = {}

local function copy_with(case, columns, rows)
  return { seed = case.seed, columns = columns, rows = rows }
end

local function without(list, from, to)
  local rest = table.move(list, 1, from - 1, 1, {})
  return table.move(list, to + 1, #list, #rest + 1, rest)
end

--- Without column `at`; nil when it is the only one of the key, or another is computed from it.
local function without_column(case, at)
  local keys = 0
  for _, column in ipairs(case.columns) do
    keys = keys + (column.key and 1 or 0)
    if column.from == case.columns[at].name then return nil end
  end
  if case.columns[at].key and keys == 1 then return nil end
  local rows = {}
  for i, row in ipairs(case.rows) do rows[i] = without(row, at, at) end
  return copy_with(case, without(case.columns, at, at), rows)
end

--- With another value in one place.
local function with_value(case, row, at, value)
  local rows = table.move(case.rows, 1, #case.rows, 1, {})
  rows[row] = table.move(rows[row], 1, #rows[row], 1, {})
  rows[row][at] = value
  return copy_with(case, case.columns, rows)
end

---@param case spec.GeneratedTable        one that fails
---@param fails fun(case: spec.GeneratedTable): string|nil   why, or nil when it does not
---@param attempts integer|nil            at most so many (default 200)
---@return spec.GeneratedTable, string    the smallest found, and why that fails
function shrink.run(case, fails, attempts)
  attempts = attempts or 200
  local reason
  local function try(smaller)
    if not smaller or attempts == 0 then return false end
    attempts = attempts - 1
    local why = fails(smaller)
    if why then case, reason = smaller, why end
    return why ~= nil
  end

  -- Rows: halves, then quarters, ... then one by one.
  local size = #case.rows
  while size >= 1 do
    local from = 1
    while from <= #case.rows do
      local to = math.min(from + size - 1, #case.rows)
      if not try(copy_with(case, case.columns, without(case.rows, from, to))) then
        from = to + 1
      end
    end
    size = size // 2
  end
  for at = #case.columns, 1, -1 do try(without_column(case, at)) end
  for row = 1, #case.rows do
    for at, column in ipairs(case.columns) do
      local simple = not column.expression and column.nullable and "null" or column.edges[1]
      if case.rows[row][at] ~= simple then try(with_value(case, row, at, simple)) end
    end
  end
  return case, reason or fails(case) or "it does not fail again"
end

return shrink
