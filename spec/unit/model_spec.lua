local core = require "dualdb.core"

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

describe("the models of the protocols", function()
  local steps, named = {}, {}
  for _, step in ipairs(core.crash_points()) do steps[step.name] = true end
  local table_of_steps = read("spec/model/README.md"):match "\n## Model step and code step\n(.*)"
  for name in table_of_steps:gmatch "`([%l%d_]+%.[%l_]+)`" do named[name] = true end

  it("name no step that the code does not have", function()
    for name in pairs(named) do assert.is_true(steps[name], "no such step: " .. name) end
  end)

  it("say of every step of the code where it is in them", function()
    for name in pairs(steps) do
      assert.is_true(named[name], "not in spec/model/README.md: " .. name)
    end
  end)

  it("are all checked in some configuration", function()
    local checked = {}
    for line in read("spec/model/configurations"):gmatch "[^\n]+" do
      local model = line:gsub("^full ", ""):match "^%l+ (%l+)"
      if model then checked[model] = true end
    end
    for _, model in ipairs { "ac", "jr", "dl", "rd" } do assert.is_true(checked[model], model) end
  end)
end)
