// SPDX-License-Identifier: Apache-2.0
// A C++ program whose functions are called, and which serves requests then: words that are counted,
// with containers, strings and exceptions.
#include <vmkit/guest.h>

#include <array>
#include <map>
#include <stdexcept>
#include <string>

namespace
{

std::map<std::string, uint64_t> counts;

uint64_t
add(const std::string &word)
{
    if (word.empty())
        throw std::invalid_argument("no word");
    return ++counts[word];
}

} // namespace

extern "C" {

uint64_t
count_word(const char *word);
double
get_mean(void);
void
spin(void);

// How often the word came; what is none is 0.
__attribute__((used)) uint64_t
count_word(const char *word)
{
    try {
        return add(word);
    } catch (const std::invalid_argument &) {
        return 0;
    }
}

__attribute__((used)) double
get_mean(void)
{
    double sum = 0;
    for (const auto &[word, count] : counts)
        sum += static_cast<double>(count);
    return sum / static_cast<double>(counts.size());
}

// Count for ever.
__attribute__((used)) void
spin(void)
{
    for (;;)
        add("word1");
}
}

int
main()
{
    for (int i = 0; i < 1000; i++)
        add("word" + std::to_string(i % 100));
    vmkit_guest_ready();
    std::array<char, 4096> buffer;
    int64_t size = vmkit_guest_receive(buffer.data(), buffer.size());
    while (size >= 0) {
        uint64_t count = add(std::string(buffer.data(), static_cast<size_t>(size)));
        size = vmkit_guest_reply_receive(&count, sizeof count, buffer.data(), buffer.size());
    }
    return 0;
}
