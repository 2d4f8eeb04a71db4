// The task of benchmarks/substrate_transport.py on BioFVM: a cosine per axis on top of a constant, closed walls, decay.
// Arguments: edge, substrates, steps, repeats, spacing, diffusivity, decay, step, threads. Prints RESULT seconds error.
#include "BioFVM.h"
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <omp.h>
using namespace BioFVM;
int main(int argc, char** argv) {
    const int n = std::atoi(argv[1]), substrates = std::atoi(argv[2]), steps = std::atoi(argv[3]), repeats = std::atoi(argv[4]);
    const double h = std::atof(argv[5]), diffusivity = std::atof(argv[6]), decay = std::atof(argv[7]), step = std::atof(argv[8]);
    omp_set_num_threads(std::atoi(argv[9]));
    Microenvironment tissue;
    tissue.set_density(0, "s0", "1", diffusivity, decay);
    for (int i = 1; i < substrates; ++i) tissue.add_density("s" + std::to_string(i), "1", diffusivity, decay);
    tissue.resize_space_uniform(0, n * h, 0, n * h, 0, n * h, h);
    tissue.diffusion_decay_solver = diffusion_decay_solver__constant_coefficients_LOD_3D;
    double best = 1e300, error = 0;
    for (int r = 0; r <= repeats; ++r) {
        const double pi = 3.14159265358979323846, side = n * h;
        for (unsigned int i = 0; i < tissue.number_of_voxels(); ++i) {
            const auto& c = tissue.voxels(i).center;
            for (int k = 0; k < substrates; ++k)
                tissue.density_vector(i)[k] = (k + 1) * (1 + std::cos(pi * c[0] / side) * std::cos(pi * c[1] / side) * std::cos(pi * c[2] / side));
        }
        auto start = std::chrono::steady_clock::now();
        for (int s = 0; s < steps; ++s) tissue.simulate_diffusion_decay(step);
        double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        if (r > 0 && seconds < best) best = seconds;
        const double t = steps * step, fall = 3 * diffusivity * pi * pi / (side * side);
        double miss = 0, norm = 0;
        for (unsigned int i = 0; i < tissue.number_of_voxels(); ++i) {
            const auto& c = tissue.voxels(i).center;
            const double exact = substrates * std::exp(-decay * t) * (1 + std::exp(-fall * t) * std::cos(pi * c[0] / side) * std::cos(pi * c[1] / side) * std::cos(pi * c[2] / side));
            const double found = tissue.density_vector(i)[substrates - 1];
            miss += (found - exact) * (found - exact);
            norm += exact * exact;
        }
        error = std::sqrt(miss / norm);
    }
    std::printf("RESULT %.9g %.9g\n", best, error);
}
