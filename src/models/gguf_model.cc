#include "models/gguf_model.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

#include "base/check.h"
#include "kernels/bfloat16.h"
#include "kernels/gguf_rows.h"
#include "kernels/parallel.h"
#include "models/decoder_weights.h"
#include "models/weights.h"
#include "nn/rotary.h"
#include "nn/safetensors.h"

namespace etrlrec {
namespace {

constexpr const char* kArchitectures[] = {"llama", "qwen2", "qwen3"};
constexpr std::string_view kRopeFactors = "rope_freqs.weight";

// Names inside and outside of layers: Hugging Face's, GGUF's.
constexpr std::pair<std::string_view, std::string_view> kLayerNames[] = {
    {"input_layernorm", "attn_norm"},    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},      {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"}, {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"}, {"post_attention_layernorm", "ffn_norm"},
    {"mlp.gate_proj", "ffn_gate"},       {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"}};
constexpr std::pair<std::string_view, std::string_view> kNames[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"}};

struct Part {
  std::string name, gguf_name;  // Hugging Face's and GGUF's
  std::vector<int64_t> shape;
  int64_t swapped_heads = 0;  // > 0: the rows of so many heads are in llama.cpp's order
};

// "model.layers.3.mlp.up_proj.weight" is "blk.3.ffn_up.weight".
std::string gguf_name_of(const std::string& name) {
  for (const auto& [ours, theirs] : kNames)
    if (name == ours) return std::string(theirs);
  constexpr std::string_view kPrefix = "model.layers.";
  const size_t layer_end = name.find('.', kPrefix.size()), kind = name.rfind('.');
  const std::string layer = name.substr(kPrefix.size(), layer_end - kPrefix.size());
  const std::string part = name.substr(layer_end + 1, kind - layer_end - 1);
  for (const auto& [ours, theirs] : kLayerNames)
    if (part == ours) return fmt::format("blk.{}.{}{}", layer, theirs, name.substr(kind));
  fail(ExitCode::kModel, "tensor \"{}\" has no name in GGUF", name);
}

std::vector<Part> parts_of(const LlmConfig& config) {
  std::vector<Part> parts;
  for (const auto& group : decoder_parameter_groups(config)) {
    for (const auto& [name, shape] : group) {
      Part part{name, gguf_name_of(name), shape};
      if (config.model_type == "llama" && name.ends_with("q_proj.weight"))
        part.swapped_heads = config.num_attention_heads;
      if (config.model_type == "llama" && name.ends_with("k_proj.weight"))
        part.swapped_heads = config.num_key_value_heads;
      parts.push_back(std::move(part));
    }
  }
  return parts;
}

// Row of a Hugging Face matrix that row `row` of a GGUF matrix is: of a head's d rows, 2 j + s
// there is s d / 2 + j here.
int64_t own_row(int64_t row, int64_t rows, int64_t swapped_heads) {
  if (swapped_heads == 0) return row;
  const int64_t size = rows / swapped_heads, inside = row % size;
  return row - inside + inside % 2 * (size / 2) + inside / 2;
}

// GGUF has numbers as fp32: 1e-5 comes as 9.99999974737e-06. The shortest decimal that is the same
// fp32 is what the configuration said.
double shortest_decimal(double x) {
  const auto narrow = static_cast<float>(x);
  return static_cast<double>(narrow) == x ? std::stod(fmt::format("{}", narrow)) : x;
}

// Factors by which a rotation of type llama3 divides the plain frequencies, [head_dim / 2].
std::vector<double> rope_factors(const LlmConfig& config, const RopeConfig& rope) {
  const auto frequencies = [&](const RopeConfig& each) {
    const RotaryTable table = rotary_table(2, config.head_dim, each);  // angles of position 1
    std::vector<double> out;
    for (int64_t d = 0; d < config.head_dim / 2; ++d)
      out.push_back(std::atan2(table.sin[1][d].item<double>(), table.cos[1][d].item<double>()));
    return out;
  };
  RopeConfig plain;
  plain.theta = rope.theta;
  std::vector<double> factors = frequencies(plain);
  const std::vector<double> scaled = frequencies(rope);
  for (size_t d = 0; d < factors.size(); ++d) factors[d] /= scaled[d];
  return factors;
}

// Llama 3.1 and later: GGUF holds the factors themselves, config.json what they are computed from.
// The largest is the factor of all long waves; the other numbers are Llama's own (1, 4, 8192) or,
// where these give other factors, those of a model whose original length is another power of two.
void read_rope_factors(const GgufFile& file, const GgufTensor& tensor, LlmConfig& config) {
  CHECK(tensor.rows() == 1 && tensor.columns() == config.head_dim / 2, kModel,
        "{}: {}: expected {} values", file.name(), kRopeFactors, config.head_dim / 2);
  std::vector<float> found(static_cast<size_t>(tensor.columns()));
  widen_gguf_row(tensor.type, tensor.data, tensor.columns(), found.data());
  const double factor = *std::max_element(found.begin(), found.end());
  CHECK(factor >= 1 && std::isfinite(factor), kModel, "{}: {}: expected factors of at least 1",
        file.name(), kRopeFactors);
  std::vector<int64_t> lengths{8192};
  for (int64_t length = 16; length <= int64_t{1} << 20; length *= 2) lengths.push_back(length);
  for (const int64_t length : lengths) {
    RopeConfig rope{config.rope.theta, "llama3", shortest_decimal(factor), 1, 4, length};
    const std::vector<double> expected = rope_factors(config, rope);
    bool fits = true;
    for (size_t d = 0; d < found.size(); ++d)
      fits = fits && std::abs(found[d] - expected[d]) <= 1e-4 * expected[d];
    if (!fits) continue;
    config.rope = rope;
    return;
  }
  fail(ExitCode::kModel, "{}: {}: factors that are not computed as Llama 3's are not supported",
       file.name(), kRopeFactors);
}

void read_rope(const GgufFile& file, const std::string& prefix, LlmConfig& config) {
  config.rope.theta = shortest_decimal(file.number_or(prefix + "rope.freq_base", 10000));
  const int64_t rotated = file.integer_or(prefix + "rope.dimension_count", config.head_dim);
  CHECK(rotated == config.head_dim, kModel,
        "{}: {}rope.dimension_count: {} of {} dimensions of a head; partial rotation is not "
        "supported",
        file.name(), prefix, rotated, config.head_dim);
  const std::string_view type = file.text_or(prefix + "rope.scaling.type", "none");
  CHECK(type == "none" || type == "linear", kModel,
        "{}: {}rope.scaling.type \"{}\" is not supported; known: none, linear", file.name(), prefix,
        type);
  if (type == "linear") {
    config.rope.type = "linear";
    config.rope.factor = shortest_decimal(file.number(prefix + "rope.scaling.factor"));
  }
  const auto factors = file.tensors().find(kRopeFactors);
  if (factors == file.tensors().end()) return;
  CHECK(type == "none", kModel, "{}: {} beside rope.scaling.type \"{}\" is not supported",
        file.name(), kRopeFactors, type);
  read_rope_factors(file, factors->second, config);
}

// What would change the result and is not computed here.
void refuse_gguf_extras(const GgufFile& file, const std::string& prefix) {
  for (const char* key : {"expert_count", "attention.sliding_window"})
    CHECK(file.integer_or(prefix + key, 0) == 0, kModel, "{}: {}{} is not supported", file.name(),
          prefix, key);
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text;
  for (const int64_t size : shape) text += (text.empty() ? "" : " x ") + std::to_string(size);
  return text;
}

// All that is wrong at once: one look at the file should be enough.
void check_tensors(const GgufFile& file, const std::vector<Part>& parts) {
  std::set<std::string, std::less<>> known;
  std::string problems;
  for (const Part& part : parts) {
    known.insert(part.gguf_name);
    const auto found = file.tensors().find(part.gguf_name);
    if (found == file.tensors().end())
      problems += fmt::format("\n  \"{}\" is missing", part.gguf_name);
    else if (found->second.shape != part.shape)
      problems += fmt::format("\n  \"{}\": expected shape {}, found {}", part.gguf_name,
                              shape_text(part.shape), shape_text(found->second.shape));
  }
  for (const auto& [name, tensor] : file.tensors())
    if (!known.contains(name) && name != kRopeFactors)
      problems += fmt::format("\n  \"{}\" is not of this model", name);
  CHECK(problems.empty(), kModel, "{}: tensors do not fit the metadata:{}", file.name(), problems);
}

// A tensor in `type`, rows in Hugging Face's order.
at::Tensor widened_tensor(const GgufTensor& tensor, const Part& part, at::ScalarType type) {
  at::Tensor out = at::empty(part.shape, type);
  const int64_t rows = tensor.rows(), columns = tensor.columns();
  const auto stride = static_cast<int64_t>(tensor.bytes) / rows;
  auto* bytes = static_cast<std::byte*>(out.data_ptr());
  const bool wide = type == at::kFloat;
  parallel_for(0, rows, std::max<int64_t>(1, 65536 / columns), [&](int64_t begin, int64_t end) {
    std::vector<float> values(wide ? 0 : static_cast<size_t>(columns));
    for (int64_t row = begin; row < end; ++row) {
      const std::byte* blocks = tensor.data + row * stride;
      const int64_t at = own_row(row, rows, part.swapped_heads) * columns;
      if (wide) {
        widen_gguf_row(tensor.type, blocks, columns, reinterpret_cast<float*>(bytes) + at);
        continue;
      }
      widen_gguf_row(tensor.type, blocks, columns, values.data());
      round_to_bfloat16(values.data(), columns, reinterpret_cast<uint16_t*>(bytes) + at);
    }
  });
  return out;
}

// The rows of a tensor in GGUF's order, a few megabytes at a time.
void write_matrix(const at::Tensor& tensor, const Part& part, GgufTensorType type,
                  GgufWriter& writer) {
  const GgufBlock& block = gguf_block(type);
  const int64_t columns = part.shape.back(), rows = tensor.numel() / columns;
  const int64_t stride = columns / block.values * block.bytes;
  const int64_t step = std::max<int64_t>(1, (int64_t{4} << 20) / stride);
  std::vector<int64_t> order(static_cast<size_t>(rows));  // of each written row the one here
  for (int64_t row = 0; row < rows; ++row)
    order[static_cast<size_t>(row)] = own_row(row, rows, part.swapped_heads);
  const at::Tensor matrix = tensor.reshape({rows, columns}), own = at::tensor(order);
  std::vector<std::byte> bytes;
  for (int64_t begin = 0; begin < rows; begin += step) {
    const int64_t count = std::min(step, rows - begin);
    const at::Tensor values =
        matrix.index_select(0, own.narrow(0, begin, count)).to(at::kFloat).contiguous();
    const auto* x = values.const_data_ptr<float>();
    bytes.resize(static_cast<size_t>(count * stride));
    parallel_for(0, count, std::max<int64_t>(1, 65536 / columns), [&](int64_t from, int64_t to) {
      for (int64_t row = from; row < to; ++row)
        narrow_gguf_row(type, x + row * columns, columns, bytes.data() + row * stride);
    });
    writer.write({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }
}

GgufTensorType stored_type(const std::vector<int64_t>& shape, GgufTensorType type) {
  if (shape.size() < 2) return GgufTensorType::kF32;
  return shape.back() % gguf_block(type).values == 0 ? type : GgufTensorType::kF16;
}

}  // namespace

LlmConfig read_gguf_config(const GgufFile& file) {
  const std::string architecture(file.text("general.architecture"));
  CHECK(std::find(std::begin(kArchitectures), std::end(kArchitectures), architecture) !=
            std::end(kArchitectures),
        kModel, "{}: architecture \"{}\" is not supported; known: llama, qwen2, qwen3", file.name(),
        architecture);
  const std::string prefix = architecture + ".";
  const auto embedding = file.tensors().find("token_embd.weight");
  CHECK(embedding != file.tensors().end(), kModel,
        "{}: no tensor \"token_embd.weight\"; expected a whole model", file.name());
  // Below 2^31, so that products of two of them cannot overflow.
  const auto size = [&](const char* key, int64_t fallback = -1) {
    const int64_t value =
        fallback < 0 ? file.integer(prefix + key) : file.integer_or(prefix + key, fallback);
    CHECK(std::in_range<int32_t>(value), kModel, "{}: {}{}: {} is out of range", file.name(),
          prefix, key, value);
    return value;
  };
  LlmConfig config;
  config.model_type = architecture;
  config.vocab_size = embedding->second.rows();
  config.hidden_size = size("embedding_length");
  config.num_hidden_layers = size("block_count");
  config.num_attention_heads = size("attention.head_count");
  config.num_key_value_heads = size("attention.head_count_kv", config.num_attention_heads);
  config.intermediate_size = size("feed_forward_length");
  config.max_position_embeddings = size("context_length");
  config.rms_norm_eps = shortest_decimal(file.number(prefix + "attention.layer_norm_rms_epsilon"));
  config.tie_word_embeddings = !file.tensors().contains("output.weight");
  config.rope = {};
  const int64_t heads = config.num_attention_heads;
  config.head_dim = size("attention.key_length", heads > 0 ? config.hidden_size / heads : 0);
  CHECK(file.integer_or(prefix + "attention.value_length", config.head_dim) == config.head_dim,
        kModel, "{}: {}attention.value_length: expected {} as attention.key_length", file.name(),
        prefix, config.head_dim);
  // A layer has tensors of its own: more layers than tensors cannot be.
  CHECK(config.num_hidden_layers <= std::ssize(file.tensors()), kModel,
        "{}: {}block_count: {} layers in a file of {} tensors", file.name(), prefix,
        config.num_hidden_layers, file.tensors().size());
  config.eos_token_ids.clear();
  check_llm_config(config, file.name());
  read_rope(file, prefix, config);
  check_llm_config(config, file.name());
  refuse_gguf_extras(file, prefix);
  return config;
}

void write_gguf_weights(const GgufFile& file, const LlmConfig& config, at::ScalarType type,
                        const std::filesystem::path& path, const OnProgress& on_progress) {
  std::vector<Part> parts = parts_of(config);
  check_tensors(file, parts);
  std::sort(parts.begin(), parts.end(),
            [](const Part& a, const Part& b) { return a.name < b.name; });
  int64_t total = 0, done = 0;
  std::vector<TensorSource> sources;
  for (const Part& part : parts) {
    const GgufTensor& tensor = file.tensors().find(part.gguf_name)->second;
    total += tensor.rows() * tensor.columns();
    sources.push_back({part.name, type, part.shape, [&, type] {
                         at::Tensor values = widened_tensor(tensor, part, type);
                         done += values.numel();
                         if (on_progress) on_progress(done, total);
                         return values;
                       }});
  }
  write_safetensors(sources, path);
}

void put_gguf_config(const LlmConfig& config, GgufTensorType type, GgufWriter& writer) {
  const std::string& architecture = config.model_type;
  CHECK(std::find(std::begin(kArchitectures), std::end(kArchitectures), architecture) !=
            std::end(kArchitectures),
        kModel, "model_type {} is not written as GGUF; known: llama, qwen2, qwen3", architecture);
  CHECK(config.sliding_window == 0, kModel, "sliding_window is not written as GGUF");
  const std::string prefix = architecture + ".";
  writer.put_text("general.architecture", architecture);
  writer.put_text("general.type", "model");
  writer.put_uint32("general.file_type", type == GgufTensorType::kF32    ? 0
                                         : type == GgufTensorType::kF16  ? 1
                                         : type == GgufTensorType::kQ8_0 ? 7
                                                                         : 32);
  writer.put_uint32("general.quantization_version", 2);
  writer.put_uint32(prefix + "vocab_size", config.vocab_size);
  writer.put_uint32(prefix + "context_length", config.max_position_embeddings);
  writer.put_uint32(prefix + "embedding_length", config.hidden_size);
  writer.put_uint32(prefix + "block_count", config.num_hidden_layers);
  writer.put_uint32(prefix + "feed_forward_length", config.intermediate_size);
  writer.put_uint32(prefix + "attention.head_count", config.num_attention_heads);
  writer.put_uint32(prefix + "attention.head_count_kv", config.num_key_value_heads);
  writer.put_uint32(prefix + "attention.key_length", config.head_dim);
  writer.put_uint32(prefix + "attention.value_length", config.head_dim);
  writer.put_float32(prefix + "attention.layer_norm_rms_epsilon", config.rms_norm_eps);
  writer.put_uint32(prefix + "rope.dimension_count", config.head_dim);
  writer.put_float32(prefix + "rope.freq_base", config.rope.theta);
  if (config.rope.type == "linear") {
    writer.put_text(prefix + "rope.scaling.type", "linear");
    writer.put_float32(prefix + "rope.scaling.factor", config.rope.factor);
  }
}

void write_gguf_tensors(const std::filesystem::path& folder, LlmConfig config, GgufTensorType type,
                        GgufWriter& writer, const OnProgress& on_progress) {
  const ParameterMap weights = load_decoder_weights(folder, config);
  const std::vector<Part> parts = parts_of(config);
  for (const Part& part : parts) {
    const auto found = weights.find(part.name);
    CHECK(found != weights.end() && found->second.sizes() == part.shape, kModel,
          "{}: tensor \"{}\": expected one of shape {}", folder.string(), part.name,
          shape_text(part.shape));
  }
  int64_t total = 0, done = 0;
  const bool has_factors = config.rope.type == "llama3";
  if (has_factors)
    writer.describe(kRopeFactors, GgufTensorType::kF32, std::vector<int64_t>{config.head_dim / 2});
  for (const Part& part : parts) {
    writer.describe(part.gguf_name, stored_type(part.shape, type), part.shape);
    total += weights.at(part.name).numel();
  }
  if (has_factors) {
    const std::vector<double> factors = rope_factors(config, config.rope);
    const std::vector<float> stored(factors.begin(), factors.end());
    writer.write({reinterpret_cast<const char*>(stored.data()), stored.size() * sizeof(float)});
  }
  for (const Part& part : parts) {
    write_matrix(weights.at(part.name), part, stored_type(part.shape, type), writer);
    done += weights.at(part.name).numel();
    release_pages(weights.at(part.name));
    if (on_progress) on_progress(done, total);
  }
}

}  // namespace etrlrec
