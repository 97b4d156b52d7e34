// SPDX-License-Identifier: Apache-2.0
// A C++ program linked static: exceptions, streams, containers, algorithms. A native run and one in
// a sandbox print the same. `cxx thread` tries to start a thread, which a sandbox refuses.
#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <typeinfo>
#include <unordered_map>
#include <variant>
#include <vector>

namespace
{

struct Shape {
    virtual ~Shape() = default;
    virtual double area() const = 0;
};

struct Square : Shape {
    double side;
    explicit Square(double side_) : side(side_)
    {
    }
    double area() const override
    {
        return side * side;
    }
};

struct Noisy {
    std::string name;
    explicit Noisy(std::string name_) : name(std::move(name_))
    {
    }
    ~Noisy()
    {
        std::cout << "unwound " << name << '\n';
    }
};

int descend(int depth)
{
    Noisy here("level " + std::to_string(depth));
    if (depth == 0)
        throw std::out_of_range("the bottom");
    return descend(depth - 1) + 1;
}

void exceptions()
{
    try {
        descend(3);
    } catch (const std::exception &error) {
        std::cout << "caught " << error.what() << '\n';
    }
    try {
        std::vector<int>(3).at(10) = 1;
    } catch (const std::out_of_range &) {
        std::cout << "caught out_of_range\n";
    }
    try {
        std::vector<char> huge(static_cast<std::size_t>(1) << 62);
        std::cout << huge.size() << '\n';
    } catch (const std::bad_alloc &) {
        std::cout << "caught bad_alloc\n";
    }
    try {
        try {
            throw 42;
        } catch (...) {
            std::throw_with_nested(std::runtime_error("outer"));
        }
    } catch (const std::runtime_error &error) {
        std::cout << "nested " << error.what() << '\n';
    }
}

void containers()
{
    std::mt19937_64 random(12345);
    std::map<std::string, int> ordered;
    std::unordered_map<int, int> hashed;
    std::vector<std::unique_ptr<Shape>> shapes;

    for (int i = 0; i < 5000; i++) {
        ordered["key" + std::to_string(random() % 100)]++;
        hashed[static_cast<int>(random() % 1000)] += i;
    }
    for (int i = 1; i <= 10; i++)
        shapes.push_back(std::make_unique<Square>(i));
    std::cout << ordered.size() << ' ' << ordered.begin()->first << ' ' << hashed.size() << ' '
              << std::accumulate(shapes.begin(), shapes.end(), 0.0,
                                 [](double sum, const auto &shape) { return sum + shape->area(); })
              << '\n';
    std::vector<int> numbers(100000);
    std::iota(numbers.begin(), numbers.end(), 0);
    std::shuffle(numbers.begin(), numbers.end(), random);
    std::cout << numbers[0] << ' ' << numbers[99999] << '\n';
    std::sort(numbers.begin(), numbers.end(), std::greater<>());
    std::cout << numbers[0] << ' ' << std::is_sorted(numbers.rbegin(), numbers.rend()) << '\n';
    std::variant<int, std::string> either = "text";
    std::cout << std::get<std::string>(either) << ' ' << either.index() << '\n';
}

void streams()
{
    std::string word, line;
    std::ostringstream text;
    text << std::hex << std::showbase << 255 << ' ' << std::setprecision(10) << 1.0 / 3 << ' '
         << std::setw(8) << std::setfill('*') << 42;
    std::cout << text.str() << '\n';
    {
        std::ofstream file("/tmp/vmkit-cxx");
        for (int i = 0; i < 1000; i++)
            file << "row " << i << '\n';
    }
    std::ifstream file("/tmp/vmkit-cxx");
    int rows = 0;
    while (std::getline(file, line))
        rows++;
    std::cout << rows << ' ' << line << '\n';
    std::ifstream missing("/nowhere");
    std::cout << "missing " << missing.is_open() << '\n';
    while (std::cin >> word)
        std::cout << "word " << word << '\n';
    std::regex pattern("(\\w+)@(\\w+)\\.org");
    std::smatch match;
    std::string address = "write to someone@example.org now";
    if (std::regex_search(address, match, pattern))
        std::cout << match[1] << " at " << match[2] << '\n';
    std::cerr << "to the error stream\n";
}

int threads()
{
    try {
        std::thread worker([] {});
        worker.join();
        std::cout << "a thread ran\n";
    } catch (const std::system_error &error) {
        std::cout << "no thread: " << error.code().value() << '\n';
        return 3;
    }
    return 0;
}

} // namespace

int main(int argc, char **argv)
{
    const std::string area = argc > 1 ? argv[1] : "";
    std::ios::sync_with_stdio(false);
    if (area == "exceptions")
        exceptions();
    else if (area == "containers")
        containers();
    else if (area == "streams")
        streams();
    else if (area == "thread")
        return threads();
    else if (area == "terminate")
        throw std::logic_error("not caught");
    else
        return 2;
    return 0;
}
